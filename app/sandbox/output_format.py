"""`output_config.format`: the schema that an answer must keep to, refused where the vendor would refuse it.

Source of the rules: https://platform.claude.com/docs/en/build-with-claude/structured-outputs, seen 2026-08-22. Words:
veryfront/veryfront-code#3918 and anthropics/anthropic-sdk-python#1185 on GitHub; where none were found, the sandbox's.
"""

from dataclasses import dataclass
from typing import cast

import msgspec

from app.domain import Json, Model
from app.sandbox.errors import SandboxError, invalid
from app.sandbox.narrowing import as_choice, as_object, refuse_others, required

MAX_OPTIONAL = 24
MAX_UNIONS = 16
MAX_DEPTH = 64
"""The last is the sandbox's own choice."""

_WHERE = "output_config.format"
_ANY = frozenset({"type", "title", "description", "enum", "const", "default", "$defs", "definitions"})
_OF_TYPE = {
    "object": _ANY | {"properties", "required", "additionalProperties"},
    "array": _ANY | {"items", "minItems"},
    "string": _ANY | {"format"},
    "integer": _ANY,
    "number": _ANY,
    "boolean": _ANY,
    "null": _ANY,
}
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")

_MARK = "JSON Schema:\n"
"""What a prompt must hold before a schema, for the sandbox to answer by it."""

Schema = dict[str, Json]


def read_format(output_config: dict[str, Json], model: Model) -> Schema | None:
    """The schema that the answer is to keep to; None where there is none.

    Raises:
        SandboxError: 400, the vendor would not take it.
    """
    given = output_config.get("format")
    if given is None:
        return None
    chosen = as_object(given, _WHERE)
    as_choice(required(chosen, "type", f"{_WHERE}."), f"{_WHERE}.type", ("json_schema",))
    refuse_others(chosen, ("type", "schema"), f"{_WHERE}.")
    schema = as_object(required(chosen, "schema", f"{_WHERE}."), f"{_WHERE}.schema")
    if not model.structured_outputs:
        raise invalid(f"{_WHERE}: structured outputs are not supported by {model.id}")
    _Inspection(schema).finish()
    return schema


def schema_in(prompt: str) -> Schema | None:
    """The schema that a prompt asks to be answered by; None where there is none."""
    _, mark, rest = prompt.rpartition(_MARK)
    try:
        schema = msgspec.json.decode(rest.strip().encode()) if mark else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return cast("Schema", schema) if isinstance(schema, dict) else None


@dataclass(slots=True)
class _Counts:
    optional: int = 0
    unions: int = 0


class _Inspection:
    """One schema, gone through part by part."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._counts = _Counts()
        self._inspect(root, (), 0)

    def finish(self) -> None:
        """Refuse what only the whole shows."""
        optional, unions = self._counts.optional, self._counts.unions
        if optional > MAX_OPTIONAL:
            raise invalid(
                f"Schemas contains too many optional parameters ({optional}), which would make grammar compilation "
                f"inefficient. Reduce the number of optional parameters in your tool schemas (limit: {MAX_OPTIONAL})."
            )
        if unions > MAX_UNIONS:
            raise invalid(
                f"Schemas contains too many parameters with union types ({unions} parameters with type arrays or "
                f"anyOf). Reduce the number of nullable or union-typed parameters (limit: {MAX_UNIONS})."
            )

    def _inspect(self, given: Json, followed: tuple[str, ...], depth: int) -> None:
        if not isinstance(given, dict):
            raise refused("a schema must be an object")
        if depth > MAX_DEPTH:
            raise refused("Schema is too complex")
        reference = given.get("$ref")
        if isinstance(reference, str):
            if reference in followed:
                raise refused(
                    f"Circular reference detected in schema definitions: {' -> '.join((*followed, reference))}"
                )
            self._inspect(look_up(self._root, reference), (*followed, reference), depth + 1)
        elif isinstance(variants := given.get("anyOf"), list):
            self._counts.unions += 1
            _refuse_keywords(given, _ANY | {"anyOf"}, "anyOf")
            for variant in variants:
                self._inspect(variant, followed, depth + 1)
        else:
            self._inspect_typed(given, followed, depth)

    def _inspect_typed(self, schema: Schema, followed: tuple[str, ...], depth: int) -> None:
        kind = schema.get("type")
        listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if isinstance(listed, list):
            if any(isinstance(value, list | dict) for value in listed):
                raise refused("Enum values must be strings, numbers, booleans or null")
            return
        if isinstance(kind, list):
            self._counts.unions += 1
            return
        if not isinstance(kind, str) or kind not in _OF_TYPE:
            raise refused("Schema type is missing or not supported")
        _refuse_keywords(schema, _OF_TYPE[kind], kind)
        if kind == "object":
            self._inspect_object(schema, followed, depth)
        elif kind == "array":
            if schema.get("minItems", 0) not in (0, 1):
                raise refused("For 'array' type, 'minItems' values other than 0 or 1 are not supported")
            self._inspect(schema.get("items"), followed, depth + 1)
        elif kind == "string" and schema.get("format", "date") not in _FORMATS:
            raise refused(f"For 'string' type, format {schema['format']!r} is not supported")

    def _inspect_object(self, schema: Schema, followed: tuple[str, ...], depth: int) -> None:
        if schema.get("additionalProperties") is not False:
            raise refused("For 'object' type, 'additionalProperties' must be explicitly set to false")
        properties = cast("dict[str, Json]", schema.get("properties") or {})
        needed = cast("list[str]", schema.get("required") or [])
        self._counts.optional += len(properties.keys() - set(needed))
        for value in properties.values():
            self._inspect(value, followed, depth + 1)


def look_up(root: Schema, reference: str) -> Json:
    """What a reference within the schema leads to.

    Raises:
        SandboxError: 400, it leads nowhere.
    """
    found: Json = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    if not reference.startswith("#") or found is None:
        raise refused(f"Unresolvable reference: {reference}")
    return found


def refused(why: str) -> SandboxError:
    """400 for the schema."""
    return invalid(f"{_WHERE}.schema: {why}")


def _refuse_keywords(schema: Schema, known: frozenset[str], kind: str) -> None:
    others = sorted(schema.keys() - known)
    if others:
        plural = "properties" if len(others) > 1 else "property"
        are = "are" if len(others) > 1 else "is"
        raise refused(f"For '{kind}' type, {plural} {', '.join(others)} {are} not supported")
