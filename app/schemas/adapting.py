"""What the vendor's structured outputs take of a JSON Schema: a strict subset, everything else told in words.

Source of what they take: https://platform.claude.com/docs/en/build-with-claude/structured-outputs, seen 2026-08-22;
anthropic 2.12.0, lib/_parse/_transform.py.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from app.schemas.checking import Resolver, SoundSchema
from app.schemas.records import Schema

MAX_OPTIONAL = 24
MAX_UNIONS = 16
"""How many properties may be left out, and how many may be of several kinds. Source: as above."""

MAX_PARTS = 500
MAX_CHARS = 50_000
"""The service's own choice: with more than this the vendor's grammar would hardly compile."""

FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
"""What a string can be held to. Source: anthropic 2.12.0, lib/_parse/_transform.py."""

_SILENT = frozenset(
    {
        *("$anchor", "$comment", "$defs", "$dynamicAnchor", "$id", "$schema", "$vocabulary", "definitions", "id"),
        *("deprecated", "readOnly", "writeOnly", "discriminator", "title", "description"),
    }
)
"""Keywords that say nothing of the data, or are carried over by themselves."""

_HINTS = frozenset({"default", "examples", "example", "contentEncoding", "contentMediaType", "format"})
"""Keywords that help the model and are held to by nobody: in words, and no loss."""

_STRUCTURE = frozenset({"allOf", "anyOf", "items", "oneOf", "properties", "required"})
"""Keywords that cannot stand beside a reference without changing what it means."""

_KINDS = (
    ("object", ("properties", "required", "additionalProperties")),
    ("array", ("items", "minItems", "maxItems", "uniqueItems")),
    ("string", ("pattern", "minLength", "maxLength", "format")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)
"""What a schema without a type is about, by its keywords."""


class NotExpressibleError(Exception):
    """Structured outputs cannot say what the schema says; the text says why."""


def adapt(sound: SoundSchema) -> tuple[Schema, bool]:
    """The schema as the vendor takes it, and whether nothing was lost: references put in place, objects closed.

    Raises:
        NotExpressibleError: data that the schema is about would be lost: objects with free keys, recursion, tuples.
    """
    adapting = _Adapting()
    adapted = adapting.schema(sound.schema, sound.resolver, ())
    if adapting.optional > MAX_OPTIONAL:
        raise NotExpressibleError(f"{adapting.optional} properties may be left out; the limit is {MAX_OPTIONAL}")
    if adapting.unions > MAX_UNIONS:
        raise NotExpressibleError(f"{adapting.unions} parts are of several kinds; the limit is {MAX_UNIONS}")
    if len(json.dumps(adapted)) > MAX_CHARS:
        raise NotExpressibleError(f"it is longer than {MAX_CHARS} characters")
    return adapted, adapting.exact


@dataclass(slots=True)
class _Adapting:
    """One schema on its way, and what has been counted of it."""

    parts: int = 0
    optional: int = 0
    unions: int = 0
    exact: bool = True

    def schema(self, given: object, resolver: Resolver, followed: tuple[int, ...]) -> Schema:
        """One schema, with all that is in it; `followed` are the schemas that references led to on the way here."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise NotExpressibleError(f"it has more than {MAX_PARTS} parts")
        if not isinstance(given, dict):
            raise NotExpressibleError("a part of it may be anything")
        schema = dict(cast("Schema", given))
        if isinstance(schema.get("$ref"), str):
            return self._referred(schema, resolver, followed)
        kind = _kind_of(schema)
        if isinstance(kind, list):
            return self._several(schema, kind, resolver, followed)
        return self._typed(schema, kind, resolver, followed)

    def _referred(self, schema: Schema, resolver: Resolver, followed: tuple[int, ...]) -> Schema:
        found = resolver.lookup(schema.pop("$ref"))
        if id(found.contents) in followed:
            raise NotExpressibleError("it is recursive")
        return self._merged(schema, found.contents, found.resolver, (*followed, id(found.contents)))

    def _merged(self, schema: Schema, other: object, resolver: Resolver, followed: tuple[int, ...]) -> Schema:
        """The `other` schema, described as the one that leads to it."""
        if not _STRUCTURE.isdisjoint(schema):
            raise NotExpressibleError("a part of it is put together of several")
        adapted = self.schema(other, resolver, followed)
        return self._with_words({**adapted, **_names(schema)}, schema)

    def _several(self, schema: Schema, kinds: list[str], resolver: Resolver, followed: tuple[int, ...]) -> Schema:
        """A schema of several types, as one for each."""
        self.unions += 1
        bare = {name: value for name, value in schema.items() if name not in _SILENT}
        variants = [{"type": kind} if kind in ("null", "boolean") else {**bare, "type": kind} for kind in kinds]
        return {**_names(schema), "anyOf": [self.schema(variant, resolver, followed) for variant in variants]}

    def _typed(self, schema: Schema, kind: str | None, resolver: Resolver, followed: tuple[int, ...]) -> Schema:
        rest = {name: value for name, value in schema.items() if name != "type"}
        adapted = _names(schema)
        if "enum" in schema or "const" in schema:
            adapted |= self._listed(rest, kind)
        elif kind is not None:
            adapted["type"] = kind
            self._of_kind(kind, rest, adapted, resolver, followed)
        else:
            return self._combined(schema, resolver, followed)
        return self._with_words(adapted, rest)

    def _of_kind(self, kind: str, rest: Schema, adapted: Schema, resolver: Resolver, followed: tuple[int, ...]) -> None:
        """Move what belongs to that kind from `rest` to `adapted`."""
        if kind == "object":
            self._object(rest, adapted, resolver, followed)
        elif kind == "array":
            self._array(rest, adapted, resolver, followed)
        elif kind == "string" and rest.get("format") in FORMATS:
            adapted["format"] = rest.pop("format")

    def _object(self, rest: Schema, adapted: Schema, resolver: Resolver, followed: tuple[int, ...]) -> None:
        properties = rest.pop("properties", None)
        if isinstance(rest.pop("additionalProperties", None), dict) or "patternProperties" in rest:
            raise NotExpressibleError("an object in it has keys that are not named")
        if not isinstance(properties, dict):
            raise NotExpressibleError("an object in it may hold anything")
        members = cast("dict[str, object]", properties)
        required = rest.pop("required", [])
        if not isinstance(required, list) or not set(cast("list[str]", required)) <= set(members):
            raise NotExpressibleError("a key is required that is not described")
        adapted["properties"] = {name: self.schema(value, resolver, followed) for name, value in members.items()}
        adapted["required"] = [name for name in members if name in required]
        adapted["additionalProperties"] = False
        self.optional += len(members) - len(adapted["required"])

    def _array(self, rest: Schema, adapted: Schema, resolver: Resolver, followed: tuple[int, ...]) -> None:
        items = rest.pop("items", None)
        if not isinstance(items, dict) or "prefixItems" in rest:
            raise NotExpressibleError("an array in it may hold anything, or is a tuple")
        adapted["items"] = self.schema(cast("Schema", items), resolver, followed)
        if rest.get("minItems") in (0, 1):
            adapted["minItems"] = rest.pop("minItems")

    def _listed(self, rest: Schema, kind: str | None) -> Schema:
        """The values of `enum` or the one of `const`, those of another kind than `type` left out."""
        values: list[Any] = rest.pop("enum") if "enum" in rest else [rest.pop("const")]
        fitting = [value for value in values if kind is None or _is_of(value, kind)]
        if not fitting or any(isinstance(value, list | dict) for value in fitting):
            raise NotExpressibleError("a choice in it is no plain value")
        self.parts += len(fitting)
        if self.parts > MAX_PARTS:
            raise NotExpressibleError(f"it has more than {MAX_PARTS} parts")
        return {"enum": fitting}

    def _combined(self, schema: Schema, resolver: Resolver, followed: tuple[int, ...]) -> Schema:
        """A schema without a type of its own."""
        for keyword in ("anyOf", "oneOf"):
            variants = schema.pop(keyword, None)
            if isinstance(variants, list):
                self.unions += 1
                self.exact = self.exact and keyword == "anyOf"
                adapted = [self.schema(variant, resolver, followed) for variant in cast("list[object]", variants)]
                return self._with_words({**_names(schema), "anyOf": adapted}, schema)
        all_of = schema.pop("allOf", None)
        if isinstance(all_of, list) and len(cast("list[object]", all_of)) == 1:
            return self._merged(schema, cast("list[object]", all_of)[0], resolver, followed)
        raise NotExpressibleError("a part of it may be anything")

    def _with_words(self, adapted: Schema, rest: Schema) -> Schema:
        """The schema with what is left of the original in its description."""
        left = {name: value for name, value in rest.items() if name not in _SILENT}
        if not left:
            return adapted
        self.exact = self.exact and left.keys() <= _HINTS
        words = json.dumps(left, ensure_ascii=False)
        described = adapted.get("description")
        return {**adapted, "description": f"{described}\n\n{words}" if described else words}


def _kind_of(schema: Schema) -> str | list[str] | None:
    """The type that a schema names, or is plainly about; None where it is neither."""
    kind: object = schema.get("type")
    if isinstance(kind, list):
        kinds = cast("list[str]", kind)
        return kinds if len(kinds) > 1 and "enum" not in schema and "const" not in schema else _only(kinds)
    if isinstance(kind, str):
        return kind
    return next((name for name, keywords in _KINDS if any(keyword in schema for keyword in keywords)), None)


def _only(kinds: list[str]) -> str | None:
    return kinds[0] if len(kinds) == 1 else None


def _names(schema: Schema) -> Schema:
    """What a schema says of itself in words."""
    return {name: schema[name] for name in ("title", "description") if isinstance(schema.get(name), str)}


def _is_of(value: object, kind: str) -> bool:
    """Whether a plain value is of that type."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer" | "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True
