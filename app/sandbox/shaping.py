"""An instance of a schema, made of nothing but the schema: what stands in for the data that a model would find."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.domain import Json
from app.sandbox.images import MeasuredImage
from app.sandbox.output_format import Schema, look_up

MAX_DEPTH = 16
"""The sandbox's own choice: what is nested deeper is left out where it may be."""

_TEXT = "[sandbox]"
_OF_FORMAT = {
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "date": "2026-01-31",
    "duration": "P1D",
    "email": "sandbox@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def wants_boxes(schema: Schema) -> bool:
    """Whether an answer by that schema says where something is."""
    return any(_is_box(part) for part in _parts(schema, 0))


def instance_of(schema: Schema, images: Sequence[MeasuredImage]) -> Json:
    """The instance: every text a placeholder, every number its smallest, one of every array's items.

    An array of objects with a `box` and an `image` holds one for every picture: what is marked in it.
    """
    return _Shaping(schema, images).value(schema, 0)


@dataclass(frozen=True, slots=True)
class _Shaping:
    root: Schema
    images: Sequence[MeasuredImage]

    def value(self, given: Json, depth: int) -> Json:
        schema = given if isinstance(given, dict) else {}
        if isinstance(reference := schema.get("$ref"), str):
            return self.value(look_up(self.root, reference), depth + 1) if depth < MAX_DEPTH else None
        for keyword in ("enum", "anyOf", "oneOf", "allOf"):
            if isinstance(listed := schema.get(keyword), list) and listed:
                return listed[0] if keyword == "enum" else self.value(listed[0], depth + 1)
        return schema["const"] if "const" in schema else self._typed(schema, depth)

    def _typed(self, schema: Schema, depth: int) -> Json:
        kind = schema.get("type")
        plain = {
            "string": _OF_FORMAT.get(str(schema.get("format")), _TEXT),
            "integer": _number(schema, 0),
            "number": _number(schema, 0.0),
            "boolean": False,
            "null": None,
        }
        named = kind[0] if isinstance(kind, list) and kind else kind
        if named in plain:
            return plain[str(named)]
        return self._array(schema, depth) if named == "array" else self._object(schema, depth)

    def _object(self, schema: Schema, depth: int) -> Json:
        properties, needed = schema.get("properties"), schema.get("required")
        names = needed if depth >= MAX_DEPTH and isinstance(needed, list) else properties
        known = properties if isinstance(properties, dict) else {}
        return {str(name): self.value(known.get(str(name)), depth + 1) for name in _listed(names)}

    def _array(self, schema: Schema, depth: int) -> Json:
        items = schema.get("items")
        if isinstance(items, dict) and _is_box(items):
            return [_box_in(number, image) for number, image in enumerate(self.images, start=1)]
        return [self.value(items, depth + 1)] if isinstance(items, dict) and depth < MAX_DEPTH else []


def _listed(names: Json) -> list[Json]:
    return list(names) if isinstance(names, dict | list) else []


def _box_in(number: int, image: MeasuredImage) -> Json:
    return {"label": f"{_TEXT} object", "image": number, "box": [*image.marked]}


def _number(schema: Schema, otherwise: float) -> Json:
    least = schema.get("minimum")
    return least if isinstance(least, int | float) else otherwise


def _parts(schema: Json, depth: int) -> Iterator[Schema]:
    """The schemas that stand where an array's items and an object's properties do."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    yield schema
    yield from _parts(schema.get("items"), depth + 1)
    properties = schema.get("properties")
    for value in properties.values() if isinstance(properties, dict) else ():
        yield from _parts(value, depth + 1)


def _is_box(schema: Schema) -> bool:
    properties = schema.get("properties")
    return isinstance(properties, dict) and {"box", "image"} <= properties.keys()
