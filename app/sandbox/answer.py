"""The text that stands in for a model's: what was measured, and plainly that nothing was understood."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import Json
from app.sandbox.billing import BYTES_PER_TOKEN, Bill, count_text_tokens
from app.sandbox.checks import MessagesRequest
from app.sandbox.images import MeasuredImage
from app.sandbox.scripts import Script, spoilt
from app.sandbox.shaping import instance_of

OPENING = (
    "[sandbox] No model ran. This is an offline stand-in for the Claude API: nothing in this request was read or "
    "understood, and what follows was only measured."
)

_SCRIPTED_STOPS = {"truncated": "max_tokens", "refusal": "refusal"}

SIGNATURE = "sandbox-signature"
"""Stands where the vendor signs its thinking."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer. `thinks` puts an empty thinking block first; `stop_sequence` is the one that was met."""

    id: str
    model: str
    text: str
    thinks: bool
    stop_reason: str
    stop_sequence: str | None
    output_tokens: int

    def blocks(self) -> list[dict[str, Json]]:
        """The content blocks in order."""
        thinking: list[dict[str, Json]] = [{"type": "thinking", "thinking": "", "signature": SIGNATURE}]
        text: list[dict[str, Json]] = [{"type": "text", "text": self.text}]
        return (thinking if self.thinks else []) + (text if self.text else [])

    def to_json(self, bill: Bill) -> dict[str, Json]:
        """The whole message."""
        return {
            **self.opening(bill),
            "content": [*self.blocks()],
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
        }

    @property
    def stop_details(self) -> dict[str, Json] | None:
        """What the vendor says of a refusal."""
        refused: dict[str, Json] = {"type": "refusal", "category": None, "explanation": "[sandbox] asked to refuse"}
        return refused if self.stop_reason == "refusal" else None

    def opening(self, bill: Bill) -> dict[str, Json]:
        """The message as a stream begins it: no content yet, no reason to stop."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": bill.to_json(),
        }


def compose_answer(request: MessagesRequest, images: Sequence[MeasuredImage], script: Script | None = None) -> Answer:
    """The answer to a request: ended by a stop sequence or by `max_tokens` where a model's would be."""
    script = script or Script()
    text, stop_sequence = _stop(spoilt(_full_text(request, images), script), request.stop_sequences)
    stop_reason = "end_turn" if stop_sequence is None else "stop_sequence"
    stop_reason = _SCRIPTED_STOPS.get(script.kind or "", stop_reason)
    tokens = max(1, count_text_tokens(len(text)))
    if tokens > request.max_tokens:
        text = text[: request.max_tokens * BYTES_PER_TOKEN]
        tokens, stop_reason, stop_sequence = request.max_tokens, "max_tokens", None
    return Answer(
        id=f"msg_sandbox_{secrets.token_hex(12)}",
        model=request.model.id,
        text=text,
        thinks=request.shows_thinking and request.max_tokens > 0,
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        output_tokens=tokens,
    )


def _full_text(request: MessagesRequest, images: Sequence[MeasuredImage]) -> str:
    """An instance of the schema where there is one, else what was measured; ASCII either way."""
    if request.schema is None:
        return _describe(request, images)
    return json.dumps(instance_of(request.schema, images))


def _describe(request: MessagesRequest, images: Sequence[MeasuredImage]) -> str:
    """The full text; ASCII only, so that bytes and characters are the same thing here."""
    lines = [OPENING, *(_describe_image(number, image) for number, image in enumerate(images, start=1))]
    if not images:
        lines.append("There was no image.")
    lines.append(f"The prompt had {_plural(request.prompt_chars, 'character')} of text.")
    return "\n".join(lines)


def _describe_image(number: int, image: MeasuredImage) -> str:
    kind = image.block.media_type.removeprefix("image/").upper()
    turned = "" if image.upright == image.size else f", {image.upright} px when upright"
    colours = ", ".join(f"{colour.hex} {colour.percent} %" for colour in image.colours)
    return (
        f"Image {number}: {kind}, sent as {image.size} px{turned}, {_plural(image.size_bytes, 'byte')}; "
        f"the model would see {image.seen} px for {_plural(image.tokens, 'token')}; main colours {colours}."
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _stop(text: str, stop_sequences: Sequence[str]) -> tuple[str, str | None]:
    found = [(text.index(sequence), sequence) for sequence in stop_sequences if sequence in text]
    if not found:
        return text, None
    position, sequence = min(found)
    return text[:position], sequence
