"""An HTTP request into a `Question`: JSON and forms, the same fields, pictures in the order in which they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
from fastapi import Request

from app.domain import Json, RawImage
from app.errors import AppError, ErrorCode, ImageError
from app.pipeline import (
    JsonObject,
    Question,
    VisionRequest,
    billing_hints,
    compose,
    decode_any,
    decode_base64,
    decode_json,
    elsewhere,
)
from app.settings import Settings
from app.web.bodies import read_body, read_chunks
from app.web.fields import AnalyzeFields, unknown_field, validated
from app.web.forms import FormPart, image_too_large, read_form

FORWARDED_PREFIXES = ("anthropic-", "x-vision-proxy-sandbox-")
"""Request headers that go on to the Claude API: its own, and those that tell the sandbox to misbehave."""

_IMAGE_NAMES = frozenset({"image", "images", "images[]", "file"})
_JSON_TEXT = frozenset({"thinking", "stop_sequences"})
_REPEATABLE = frozenset({"stop_sequences"})


class _ImageInput(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of `images` in a JSON body."""

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A request, read: its validated fields, and the question they make."""

    fields: AnalyzeFields
    question: Question
    headers: dict[str, str]

    def vision_request(self, *, counting: bool = False) -> VisionRequest:
        """What the pipeline works on. Raises as `app.pipeline.compose`."""
        body, images, labels = compose(self.question, counting=counting)
        return VisionRequest(
            model=self.question.model,
            body=body,
            images=tuple(images),
            labels=tuple(labels),
            max_tokens=self.question.max_tokens,
            stream=self.question.stream,
            detail=self.fields.detail,
            max_image_tokens=self.fields.max_image_tokens,
            max_cost_usd=self.fields.max_cost_usd,
            billed_as=billing_hints(self.question.extra, body),
            headers=self.headers,
        )


async def read_request(request: Request, model: type[AnalyzeFields], settings: Settings) -> Received:
    """What the client sent.

    Raises:
        AppError: what is wrong with it, as early as it is known.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        chunks = read_chunks(request, settings.max_body_bytes)
        parts = await read_form(chunks, content_type, settings.max_image_bytes)
        values, images, passed = _from_form(parts, model)
    elif media_type in {"application/json", ""}:
        body = await read_body(request, settings.max_body_bytes)
        values, images, passed = _from_json(body, settings.max_image_bytes)
    else:
        raise AppError(
            ErrorCode.INVALID_REQUEST,
            f"content-type {media_type[:100]!r} is not read here; send multipart/form-data or application/json",
        )
    fields = validated(model, values)
    question = Question(
        model=fields.model or settings.default_model,
        max_tokens=fields.max_tokens or settings.default_max_tokens,
        images=images,
        prompt=fields.prompt,
        system=cast("Json", fields.system),
        stop_sequences=fields.stop_sequences,
        thinking=fields.thinking,
        effort=fields.effort,
        messages=passed.messages,
        labels=fields.labels,
        extra=passed.extra,
        stream=fields.stream,
    )
    return Received(fields, question, forwarded_headers(request))


def forwarded_headers(request: Request) -> dict[str, str]:
    """The request's headers that go on to the Claude API."""
    return {name: value for name, value in request.headers.items() if name.startswith(FORWARDED_PREFIXES)}


@dataclass(frozen=True, slots=True)
class _Passed:
    """What goes on to the vendor as the bytes that came in."""

    messages: msgspec.Raw | None
    extra: JsonObject


def _from_form(
    parts: Sequence[FormPart], model: type[AnalyzeFields]
) -> tuple[dict[str, object], list[RawImage], _Passed]:
    values: dict[str, object] = {}
    texts: dict[str, list[str]] = {}
    images: list[RawImage] = []
    for part in parts:
        if part.name in _IMAGE_NAMES:
            images.append(_uploaded(part, len(images) + 1))
        elif part.is_file:
            raise unknown_field(part.name, model)
        else:
            texts.setdefault(part.name, []).append(_text_of(part))
    _refuse_elsewhere("image_url" in texts, "file_id" in texts, len(images) + 1)
    messages, extra = _single(texts.pop("messages", None), "messages"), _single(texts.pop("extra", None), "extra")
    for name, given in texts.items():
        if name in _REPEATABLE and not given[0].lstrip().startswith("["):
            values[name] = given
        else:
            text = _single(given, name)
            values[name] = decode_any(text.encode(), f"{name} must be JSON") if text and name in _JSON_TEXT else text
    passed = _Passed(_raw(messages, "messages"), _extra(_raw(extra, "extra")))
    return values, images, passed


def _from_json(body: bytes, max_image_bytes: int) -> tuple[dict[str, object], list[RawImage], _Passed]:
    members = decode_json(body, JsonObject, "the body must be a JSON object")
    given = [members.pop(name) for name in ("images", "image") if name in members]
    images = [image for entries in given for image in _listed(entries, max_image_bytes)]
    _refuse_elsewhere("image_url" in members, "file_id" in members, len(images) + 1)
    messages, extra = members.pop("messages", None), members.pop("extra", None)
    values: dict[str, object] = {name: decode_any(raw, name) for name, raw in members.items()}
    return values, images, _Passed(messages, _extra(extra))


def _uploaded(part: FormPart, index: int) -> RawImage:
    if not part.is_file:
        raise ImageError(
            ErrorCode.INVALID_REQUEST,
            f"the field {part.name} is text, not a file",
            hint="with curl write -F image=@photo.jpg; base64 goes into a JSON body",
        ).about(index, None)
    return RawImage(part.data, "upload", part.filename, part.media_type)


def _listed(raw: msgspec.Raw, max_image_bytes: int) -> list[RawImage]:
    """The entries of `images`, decoded."""
    entries = decode_json(raw, list[_ImageInput], 'images must be [{"data": BASE64, "name": ...}]')
    images: list[RawImage] = []
    for index, entry in enumerate(entries, start=1):
        try:
            images.append(_decoded(entry, max_image_bytes))
        except ImageError as error:
            raise error.about(index, entry.name) from error
    return images


def _decoded(entry: _ImageInput, max_image_bytes: int) -> RawImage:
    if entry.data is None:
        raise elsewhere("url" if entry.url is not None else "file" if entry.file_id is not None else "")
    data = decode_base64(entry.data)
    if len(data) > max_image_bytes:
        raise image_too_large(len(data), max_image_bytes)
    return RawImage(data, "base64", entry.name)


def _refuse_elsewhere(by_url: bool, by_file: bool, index: int) -> None:  # noqa: FBT001 - two facts, both named at the call
    if by_url or by_file:
        raise elsewhere("url" if by_url else "file").about(index, None)


def _text_of(part: FormPart) -> str:
    try:
        return part.data.decode()
    except UnicodeDecodeError as error:
        message = f"the field {part.name[:100]!r} is not UTF-8"
        raise AppError(ErrorCode.INVALID_REQUEST, message, field=part.name[:100]) from error


def _single(given: list[str] | None, name: str) -> str | None:
    if given is not None and len(given) > 1:
        raise AppError(
            ErrorCode.INVALID_REQUEST, f"{name[:100]}: sent {len(given)} times; send it once", field=name[:100]
        )
    return given[0] if given else None


def _raw(text: str | None, name: str) -> msgspec.Raw | None:
    """The JSON of a form field, checked to be some."""
    return None if text is None else decode_json(text.encode(), msgspec.Raw, f"{name} must be JSON")


def _extra(raw: msgspec.Raw | None) -> JsonObject:
    if raw is None or bytes(raw) == b"null":
        return {}
    return decode_json(raw, JsonObject, "extra must be a JSON object")
