"""Whether a JSON Schema is sound: by its own draft, whole in itself, and of an end."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import isinf
from typing import Any, NoReturn, TypeAlias, cast

from jsonschema import validators
from jsonschema.exceptions import ValidationError, relevance
from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY
from referencing import Registry, Resource, Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import Schema as AnySchema
from referencing.jsonschema import UnknownDialect, specification_with

from app.domain import Json
from app.schemas.records import Fault, Schema

LATEST = "https://json-schema.org/draft/2020-12/schema"
"""The draft of a schema that names none."""

MAX_DEPTH = 64
"""The service's own choice: how deep a schema may be nested."""

_MAX_DIGITS = 1_000
_MAX_MESSAGE_CHARS = 300
_MAX_ERRORS = 1_000

_ONE = frozenset(
    {
        *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
        *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    }
)
_LISTED = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"},
)
"""Where schemas stand in a schema: alone, in an array, under names of the author's own."""

_REFERENCES = ("$ref", "$dynamicRef")
_PROBES: tuple[Json, ...] = (None, True, 0, "", [], {})

Resolver: TypeAlias = Any  # referencing types it by the kind of schema, of which there are two


class BadSchemaError(Exception):
    """The schema is none that can be used; `fault` says why."""

    def __init__(self, place: str, message: str) -> None:
        """`place` is a JSON path into the schema."""
        super().__init__(message)
        self.fault = Fault(place, message[:_MAX_MESSAGE_CHARS])


@dataclass(frozen=True, slots=True)
class SoundSchema:
    """A schema that can be used, with what validates by it and what follows its references."""

    schema: Schema
    validator: Validator
    resolver: Resolver


@dataclass(frozen=True, slots=True)
class Spot:
    """A schema within a schema."""

    place: str
    schema: Schema
    resolver: Resolver


@lru_cache(maxsize=8)
def sound(text: str) -> SoundSchema:
    """The schema that the JSON holds.

    Raises:
        BadSchemaError: it holds none, or one that nobody can keep to or follow.
    """
    schema = _decoded(text)
    specification = _specification(schema)
    kind = validators.validator_for(schema, default=validators.validator_for({"$schema": LATEST}))
    _check(kind, schema)
    resource: Resource[AnySchema] = Resource(cast("AnySchema", schema), specification)
    registry: Registry[AnySchema] = REGISTRY.with_resource(resource.id() or "", resource)
    resolver = registry.resolver(resource.id() or "")
    for spot in spots(schema, resolver, specification):
        _check_patterns(spot)
        _check_references(spot)
    validator = kind(schema, registry=registry)
    _check_end(validator)
    return SoundSchema(schema, validator, resolver)


def spots(schema: Schema, resolver: Resolver, specification: Specification[Any], place: str = "$") -> Iterator[Spot]:
    """The schema and every schema in it."""
    resolver = resolver.in_subresource(Resource(schema, specification))
    yield Spot(place, schema, resolver)
    for keyword, value in schema.items():
        for where, inner in _inner(keyword, value):
            yield from spots(inner, resolver, specification, place + where)


def _inner(keyword: str, value: object) -> Iterator[tuple[str, Schema]]:
    if keyword in _ONE and isinstance(value, dict):
        yield f".{keyword}", cast("Schema", value)
    elif keyword in _LISTED and isinstance(value, list):
        for index, inner in enumerate(cast("list[object]", value)):
            if isinstance(inner, dict):
                yield f".{keyword}[{index}]", cast("Schema", inner)
    elif keyword in _NAMED and isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            if isinstance(inner, dict):
                yield f".{keyword}.{name}", cast("Schema", inner)


def gravest(errors: Iterable[ValidationError]) -> list[ValidationError]:
    """The first errors found, the gravest first."""
    return sorted(islice(errors, _MAX_ERRORS), key=relevance, reverse=True)


def no_constant(name: str) -> NoReturn:
    """Refuses NaN and its like, which Python reads and JSON does not know.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no JSON")


def depth_of(value: object) -> int:
    """How deep a JSON value is nested; 0 for a scalar."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _children(outer)]:
        depth += 1
    return depth


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _decoded(text: str) -> Schema:
    try:
        schema = json.loads(text, parse_constant=no_constant, parse_float=_finite, parse_int=_short)
    except RecursionError:
        raise BadSchemaError("$", f"it is nested deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise BadSchemaError("$", f"it is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise BadSchemaError("$", "it must be a JSON object")
    if depth_of(cast("Schema", schema)) > MAX_DEPTH:
        raise BadSchemaError("$", f"it is nested deeper than {MAX_DEPTH}")
    return cast("Schema", schema)


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"{digits:.50} is a larger number than can be told apart")
    return number


def _short(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; the limit is {_MAX_DIGITS}")
    return int(digits)


def _specification(schema: Schema) -> Specification[Any]:
    draft = schema.get("$schema", LATEST)
    if not isinstance(draft, str):
        raise BadSchemaError("$['$schema']", f"it must be a text that names a draft, such as {LATEST}")
    try:
        return specification_with(draft)
    except UnknownDialect:
        message = f"{draft!r} is no draft that is known here; {LATEST} is the latest"
        raise BadSchemaError("$['$schema']", message) from None


def _check(kind: type[Validator], schema: Schema) -> None:
    """Hold the schema to the schema of its draft."""
    try:
        errors = gravest(kind(kind.META_SCHEMA, registry=REGISTRY).iter_errors(schema))
    except RecursionError:
        raise BadSchemaError("$", "it is nested too deep") from None
    if errors:
        raise BadSchemaError(errors[0].json_path, errors[0].message)


def _check_patterns(spot: Spot) -> None:
    named = spot.schema.get("patternProperties")
    given = [("pattern", spot.schema.get("pattern"))]
    if isinstance(named, dict):
        given += [("patternProperties", name) for name in cast("Schema", named)]
    for keyword, pattern in given:
        try:
            re.compile(pattern if isinstance(pattern, str) else "")
        except (re.error, OverflowError, RecursionError) as error:
            message = f"{pattern!r:.100} is no regular expression: {error}"
            raise BadSchemaError(f"{spot.place}.{keyword}", message) from None


def _check_references(spot: Spot) -> None:
    for keyword in _REFERENCES:
        reference = spot.schema.get(keyword)
        if not isinstance(reference, str):
            continue
        try:
            spot.resolver.lookup(reference)
        except (Unresolvable, ValueError):
            message = f"{reference!r:.100} leads nowhere in this schema; other documents are never fetched"
            raise BadSchemaError(f"{spot.place}['{keyword}']", message) from None


def _check_end(validator: Validator) -> None:
    """Find what refers to itself without looking at any smaller part of the data."""
    try:
        for probe in _PROBES:
            validator.is_valid(probe)
    except RecursionError:
        raise BadSchemaError("$", "it refers to itself without end") from None
