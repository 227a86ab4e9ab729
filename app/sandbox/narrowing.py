"""JSON values narrowed to the type they should have, or refused in the vendor's words (those of pydantic)."""

from collections.abc import Collection, Sequence

from app.domain import Json
from app.sandbox.errors import invalid


def required(values: dict[str, Json], name: str, where: str = "") -> Json:
    """The field of that name."""
    if name not in values:
        raise invalid(f"{where}{name}: Field required")
    return values[name]


def as_object(value: Json, where: str) -> dict[str, Json]:
    """The value, an object."""
    if not isinstance(value, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    return value


def as_list(value: Json, where: str) -> list[Json]:
    """The value, a list."""
    if not isinstance(value, list):
        raise invalid(f"{where}: Input should be a valid list")
    return value


def as_string(value: Json, where: str) -> str:
    """The value, a string."""
    if not isinstance(value, str):
        raise invalid(f"{where}: Input should be a valid string")
    return value


def as_integer(value: Json, where: str) -> int:
    """The value, a whole number; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"{where}: Input should be a valid integer")
    return value


def as_boolean(value: Json, where: str) -> bool:
    """The value, true or false."""
    if not isinstance(value, bool):
        raise invalid(f"{where}: Input should be a valid boolean")
    return value


def as_choice(value: Json, where: str, choices: Sequence[str]) -> str:
    """The value, one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        quoted = [f"'{choice}'" for choice in choices]
        listed = " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
        raise invalid(f"{where}: Input should be {listed}")
    return value


def refuse_others(values: dict[str, Json], allowed: Collection[str], where: str = "") -> None:
    """Refuse any field that is not allowed."""
    for name in values:
        if name not in allowed:
            raise invalid(f"{where}{name}: Extra inputs are not permitted")
