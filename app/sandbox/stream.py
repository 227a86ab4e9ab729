"""The answer as server-sent events, in the vendor's order.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming, seen 2026-08-22.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from app.domain import Json
from app.sandbox.answer import Answer
from app.sandbox.billing import Bill, count_text_tokens

CHUNK_CHARS = 40
"""How much text one delta carries here."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, and how many output tokens the stream has cost up to and with it."""

    data: dict[str, Json]
    output_tokens: int

    @property
    def kind(self) -> str:
        """The name of the event."""
        return str(self.data["type"])

    def encode(self) -> bytes:
        """The event as it goes over the wire."""
        return b"event: %s\ndata: %s\n\n" % (self.kind.encode(), msgspec.json.encode(self.data))


def stream_events(answer: Answer, bill: Bill) -> Iterator[Event]:
    """Every event of the answer; `bill` is the final one."""
    yield Event({"type": "message_start", "message": answer.opening(bill.with_output(1))}, 1)
    yield Event({"type": "ping"}, 1)
    sent_chars = 0
    for index, block in enumerate(answer.blocks()):
        yield Event(
            {"type": "content_block_start", "index": index, "content_block": _emptied(block)}, _cost(sent_chars)
        )
        for delta in _deltas(block):
            sent_chars += len(str(delta.get("text", "")))
            yield Event({"type": "content_block_delta", "index": index, "delta": delta}, _cost(sent_chars))
        yield Event({"type": "content_block_stop", "index": index}, _cost(sent_chars))
    yield Event(
        {
            "type": "message_delta",
            "delta": {
                "stop_reason": answer.stop_reason,
                "stop_sequence": answer.stop_sequence,
                "stop_details": answer.stop_details,
            },
            "usage": bill.cumulative(),
        },
        bill.output,
    )
    yield Event({"type": "message_stop"}, bill.output)


def _cost(sent_chars: int) -> int:
    return max(1, count_text_tokens(sent_chars))


def _emptied(block: dict[str, Json]) -> dict[str, Json]:
    if block["type"] == "thinking":
        return {**block, "signature": ""}
    return {**block, "text": ""}


def _deltas(block: dict[str, Json]) -> Iterator[dict[str, Json]]:
    if block["type"] == "thinking":
        yield {"type": "signature_delta", "signature": block["signature"]}
        return
    text = str(block["text"])
    for start in range(0, len(text), CHUNK_CHARS):
        yield {"type": "text_delta", "text": text[start : start + CHUNK_CHARS]}
