"""An answer read by its schema: the data in it, or what is wrong with it and where."""

import json
from collections.abc import Sequence

from jsonschema.protocols import Validator

from app.domain import Json
from app.schemas.checking import depth_of, gravest
from app.schemas.finding import candidates
from app.schemas.records import Fault, Reading

MAX_DEPTH = 100
"""The service's own choice: how deep data may be nested."""

MAX_FAULTS = 5
"""How many faults are told, the gravest first."""

_MAX_MESSAGE_CHARS = 300
_MAX_CANDIDATES = 20
_NO_JSON = Fault("$", "the answer holds no JSON")


def read(text: str, validator: Validator) -> Reading:
    """The first JSON value in the text that is valid, or the faults of the likeliest."""
    faults: Sequence[Fault] | None = None
    for number, value in enumerate(candidates(text)):
        if number == _MAX_CANDIDATES:
            break
        found = _faults(value, validator)
        if not found:
            return Reading(data=value)
        faults = faults or found
    return Reading(faults=tuple(faults or (_NO_JSON,)))


def _faults(value: Json, validator: Validator) -> list[Fault]:
    if depth_of(value) > MAX_DEPTH:
        return [Fault("$", f"it is nested deeper than {MAX_DEPTH}")]
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return [Fault("$", "a text in it holds half of a surrogate pair")]
    except ValueError:
        return [Fault("$", "a number in it is too large")]
    errors = gravest(validator.iter_errors(value))[:MAX_FAULTS]
    return [Fault(error.json_path, error.message[:_MAX_MESSAGE_CHARS]) for error in errors]
