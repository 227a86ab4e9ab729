"""The second turn: an answer that cannot be read goes back once, with what is wrong with it."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from app.pipeline.costing import MAX_COMPLAINT_BYTES
from app.pipeline.preparing import MAX_REQUEST_BYTES
from app.pipeline.ready import Ready
from app.schemas import Fault
from app.upstream.pieces import Pieces

_END = b"]}"
"""How the body of every native request ends: its messages, then nothing."""

_MAX_FAULT_CHARS = 400
_BLANK = "(no text)"


def repaired(ready: Ready, text: str, faults: Sequence[Fault]) -> Ready | None:
    """The request with the answer's `text` and a complaint as two more turns; None where there is no room for them."""
    turns = [
        {"role": "assistant", "content": text.strip() or _BLANK},
        {"role": "user", "content": _complaint(faults)},
    ]
    more = b",".join(msgspec.json.encode(turn) for turn in turns)
    asked = ready.body.joined()
    if not asked.endswith(_END) or len(asked) + len(more) + 1 > MAX_REQUEST_BYTES:
        return None
    body = asked.removesuffix(_END) + b"," + more + _END
    if ready.request.stream:
        body = body.replace(b'"stream":true,', b"", 1)  # `compose` wrote it, before anything that the caller wrote
    return replace(ready, body=Pieces((body,)))


def _complaint(faults: Sequence[Fault]) -> str:
    found = "\n".join(f"- {str(fault)[:_MAX_FAULT_CHARS]}" for fault in faults)
    complaint = (
        f"That is not valid by the schema:\n{found}\n"
        "Answer again with the whole corrected JSON alone, without a word around it."
    )
    return complaint.encode()[:MAX_COMPLAINT_BYTES].decode(errors="ignore")
