"""What a request costs in tokens, and the `usage` object that says so.

Pictures are counted by the vendor's documented rule. Text is counted by a rule of the sandbox's own, which is not the
vendor's tokenizer: one token for four bytes of UTF-8, rounded up over the whole prompt, with tools and blocks that are
neither text nor picture counted as compact JSON; plus `OVERHEAD_TOKENS` for each request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anyio.to_thread

from app.domain import Json, Model
from app.sandbox.cache import PromptCache, digest_prefixes
from app.sandbox.checks import MessagesRequest
from app.sandbox.errors import invalid
from app.sandbox.images import MeasuredImage
from app.sandbox.prompt import Part

BYTES_PER_TOKEN = 4
OVERHEAD_TOKENS = 8
"""The vendor's own wrapping of a prompt, never cached here. Measured at 6 to 8 tokens beside one picture.

Source: https://jackin.tailrocks.com/research/token-optimization/42-multimodal-token-economics/, seen 2026-11-21.
"""

DOCUMENT_TOKENS = 2_250
"""What any document that is not plain text counts here: the middle of the vendor's 1,500 to 3,000 for a page.

Source: https://platform.claude.com/docs/en/build-with-claude/pdf-support, seen 2026-08-22.
"""


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens by kind; all input is the sum of `uncached`, `read`, `written_5m` and `written_1h`."""

    uncached: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    output: int = 0
    speed: str = "standard"
    inference_geo: str = "global"
    service_tier: str = "standard"

    def with_output(self, tokens: int) -> "Bill":
        """The same bill for that much output."""
        return replace(self, output=tokens)

    def cumulative(self) -> dict[str, Json]:
        """The fields of `usage` that a `message_delta` repeats."""
        return {
            "input_tokens": self.uncached,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
            "output_tokens": self.output,
            "output_tokens_details": {"thinking_tokens": 0},
            "server_tool_use": None,
        }

    def to_json(self) -> dict[str, Json]:
        """The whole `usage` object."""
        return {
            **self.cumulative(),
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
            "service_tier": self.service_tier,
            "speed": self.speed,
            "inference_geo": self.inference_geo,
        }


def count_text_tokens(size_bytes: int) -> int:
    """What text of that many bytes counts."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def count_prefixes(request: MessagesRequest, images: Sequence[MeasuredImage]) -> list[int]:
    """The tokens of every prefix of the prompt, shortest first, without the overhead.

    A picture that was not measured, because a count fetches nothing, counts the most that the model would bill for it.
    """
    tokens_by_path = {image.block.path: image.tokens for image in images}
    text_bytes, media_tokens, counts = 0, 0, list[int]()
    for part in request.parts:
        text_bytes += part.counted_bytes
        media_tokens += _media_tokens(part, request.model, tokens_by_path)
        counts.append(count_text_tokens(text_bytes) + media_tokens)
    return counts


def check_context(input_tokens: int, model: Model) -> None:
    """Refuse a prompt that is longer than the model's context.

    Raises:
        SandboxError: 400 with both numbers.
    """
    if input_tokens > model.context_tokens:
        raise invalid(f"prompt is too long: {input_tokens} tokens > {model.context_tokens} maximum")


async def bill_input(request: MessagesRequest, images: Sequence[MeasuredImage], key: str, cache: PromptCache) -> Bill:
    """The input side of the bill; what is written to the cache now is read from it next time."""
    counts = count_prefixes(request, images)
    bill = Bill(
        uncached=counts[-1] + OVERHEAD_TOKENS,
        speed="fast" if request.fast else "standard",
        inference_geo=request.inference_geo,
    )
    ends = [index for index, part in enumerate(request.parts) if part.lifetime is not None]
    if not ends:
        return bill
    cacheable = request.parts[: ends[-1] + 1]
    prefixes = await anyio.to_thread.run_sync(digest_prefixes, key, request.model.id, cacheable)
    known = cache.count_known(prefixes)
    cache.remember(prefixes[end] for end in ends)
    read = counts[known - 1] if known else 0
    written = {"5m": 0, "1h": 0}
    reached = read
    for end in ends:
        if end >= known:
            written[cacheable[end].lifetime or "5m"] += counts[end] - reached
            reached = counts[end]
    return replace(
        bill, uncached=bill.uncached - reached, read=read, written_5m=written["5m"], written_1h=written["1h"]
    )


def _media_tokens(part: Part, model: Model, tokens_by_path: Mapping[str, int]) -> int:
    if part.is_document:
        return DOCUMENT_TOKENS
    if part.image is None:
        return 0
    return tokens_by_path.get(part.image.path, model.tier.max_tokens)
