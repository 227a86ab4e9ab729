"""What is said between the service and its image workers: one job there, one reply back, each with a file behind it.

The head is MessagePack, typed on both sides: a reply is read as the plain values that it must be, never as code, for a
worker that a hostile file has taken over may say anything. A message is two lengths, the head, then the file.
"""

import struct
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from app.domain import MediaType, Notice, Size
from app.errors import ErrorCode
from app.imaging.plan import ImagePlan
from app.imaging.probe import ImageFacts

LENGTHS = struct.Struct("<QQ")
"""Bytes of the head, bytes of the file."""

FORK, END = b"f", b"e"
"""What the fork server is asked: a worker for the socket that comes along; the end of the worker of that pid."""

PID = struct.Struct("<q")
ENDED = struct.Struct("<qd")
"""How a worker ended, as `os.waitstatus_to_exitcode` says it, and the processor time it took in its life."""

UNKNOWN = (0, -1.0)
"""The same of a worker that is none of this fork server's: an earlier one's, which ended with it."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one picture may take of a worker: seconds of processor time, and seconds on the clock."""

    cpu_s: int = 10
    wall_s: float = 8.0


class Render(msgspec.Struct, frozen=True, tag=True):
    """Make the file into what the plan says."""

    facts: ImageFacts
    plan: ImagePlan


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Say which pages a PDF has, `max_pages` at the most."""

    max_pages: int


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """A prepared picture; its bytes are the file behind the reply."""

    media_type: MediaType
    size: Size
    operations: tuple[str, ...]
    notices: tuple[Notice, ...]
    sha256: str


class Measured(msgspec.Struct, frozen=True, tag=True):
    """Width and height of each page in points."""

    pages: tuple[tuple[float, float], ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Why the file cannot be used: the parts of an `ImageError`."""

    code: ErrorCode
    message: str
    details: dict[str, str | int | float | list[str] | None]


Job: TypeAlias = Render | Measure
Outcome: TypeAlias = Rendered | Measured | Refused


class Task(msgspec.Struct, frozen=True):
    """A job, and the processor time and memory that it may take."""

    job: Job
    cpu_s: int
    memory_bytes: int


class Reply(msgspec.Struct, frozen=True):
    """The outcome, and the processor time that the worker has taken in its life."""

    outcome: Outcome
    cpu_s: float


_tasks = msgspec.msgpack.Decoder(Task)
_replies = msgspec.msgpack.Decoder(Reply)


def read_task(head: bytes) -> Task:
    """The task that a head holds."""
    return _tasks.decode(head)


def read_reply(head: bytes | bytearray) -> Reply:
    """The reply that a head holds.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _replies.decode(head)


def framed(message: Task | Reply, file_bytes: int) -> bytes:
    """The message up to where the file begins."""
    head = msgspec.msgpack.encode(message)
    return LENGTHS.pack(len(head), file_bytes) + head
