"""The sandbox's prompt cache: which prefixes of a prompt it has seen before. No prompt is kept, only digests."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from app.sandbox.prompt import Part

MAX_PREFIXES = 10_000
"""The sandbox's own choice: the prefix unused for longest is forgotten when another one comes."""


class PromptCache:
    """Prefixes seen in this process.

    Simpler than the vendor's: a prefix lives as long as the process whatever its `ttl`, none is too short, and any
    number of blocks may be looked back over.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def count_known(self, prefixes: Sequence[bytes]) -> int:
        """How many parts the longest known prefix has; `prefixes` holds the digest of each, shortest first."""
        for length in range(len(prefixes), 0, -1):
            if prefixes[length - 1] in self._seen:
                self._seen.move_to_end(prefixes[length - 1])
                return length
        return 0

    def remember(self, prefixes: Iterable[bytes]) -> None:
        """Know these prefixes from now on."""
        for prefix in prefixes:
            self._seen[prefix] = None
            self._seen.move_to_end(prefix)
        while len(self._seen) > MAX_PREFIXES:
            self._seen.popitem(last=False)


def digest_prefixes(key: str, model_id: str, parts: Iterable[Part]) -> list[bytes]:
    """A digest of every prefix of the parts, shortest first; another key or model gives other digests."""
    running = sha256(msgspec.json.encode([key, model_id]))
    digests: list[bytes] = []
    for part in parts:
        running.update(msgspec.json.encode([part.path, part.canonical]))
        digests.append(running.copy().digest())
    return digests
