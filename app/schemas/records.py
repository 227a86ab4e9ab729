"""What is asked about a schema and what is found: the values that travel between this process and the judging one."""

from typing import Any, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, decoded."""


class Fault(msgspec.Struct, frozen=True):
    """What is wrong, and where: `place` is a JSON path such as `$.items[2].price`."""

    place: str
    message: str

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.place}: {self.message}"


class Verdict(msgspec.Struct, frozen=True):
    """What is known of a schema before it is used.

    `fault` is set where it is no sound schema. `adapted` is what the vendor's structured outputs take of it, and None
    where they cannot express it, for the reason `because`; `exact` says that nothing was lost on the way.
    """

    fault: Fault | None = None
    adapted: Schema | None = None
    exact: bool = False
    because: str | None = None


class Reading(msgspec.Struct, frozen=True):
    """What an answer holds: `data` where there are no `faults`.

    `hopeless` says that another answer would fare no better.
    """

    data: Any = None
    faults: tuple[Fault, ...] = ()
    hopeless: bool = False


class Question(msgspec.Struct, frozen=True):
    """What the judging process is asked: to check the schema, or with a `text` to read that by it."""

    schema: str
    text: str | None = None
