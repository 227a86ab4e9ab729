"""An HTTP request into a `Question`: JSON and forms, the same fields, pictures in the order in which they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
from fastapi import Request

from app.domain import Caller, FileImage, Json, RawImage, RemoteImage, UrlMode
from app.errors import AppError, ErrorCode, ImageError
from app.pipeline import (
    JsonObject,
    MessageBody,
    Observer,
    Picture,
    Question,
    Room,
    Services,
    Unfolding,
    UnusableImage,
    VisionRequest,
    billing_hints,
    check_text,
    compose,
    decode_any,
    decode_base64,
    decode_json,
    image_too_large,
    named_models,
    refuse_many,
    refuse_other_models,
    unfold,
)
from app.settings import Settings
from app.web.bodies import off_loop, read_body, read_chunks
from app.web.fields import AnalyzeFields, field_names, unknown_field, validated
from app.web.forms import FormPart, read_form
from app.web.gate import room_of
from app.web.names import bare_name

FORWARDED_PREFIXES = ("anthropic-", "x-vision-proxy-sandbox-")
"""Request headers that go on to the Claude API: its own, and those that tell the sandbox to misbehave."""

_IMAGE_NAMES = frozenset({"image", "images", "images[]", "file"})
_JSON_TEXT = frozenset({"thinking", "stop_sequences"})
_ALSO_FILES = frozenset({"schema"})
"""Texts that a form may hold as a file."""

_UNREAD = frozenset({"schema"})
"""JSON that is judged elsewhere, as the text it came as."""

_REPEATABLE = frozenset({"stop_sequences"})


_ENTRIES = 'images must be [{"data": BASE64} or {"url": ...} or {"file_id": ...}, each with "name" if you like]'
_MOST_FIELDS = 1_000
"""Of a body in JSON: looking at a million would hold up everybody else, and there are not fifty."""

_MOST_ENTRIES = 10_000
"""Of any array; of `images`, braces are counted before they are decoded. How many a model takes is known later."""


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
    caller: Caller
    endpoint: str
    request_id: str
    observer: Observer
    url_mode: UrlMode
    max_image_bytes: int
    max_body_bytes: int
    room: Room

    async def vision_request(self, *, counting: bool = False) -> VisionRequest:
        """What the pipeline works on. Raises as `app.pipeline.compose`."""
        with self.observer.step("parse"):
            return await off_loop(self._composed, counting)

    def _composed(self, counting: bool) -> VisionRequest:  # noqa: FBT001 - passed through `off_loop`
        lifted, labels = compose(self.question, self.url_mode, self.max_image_bytes, counting=counting)
        body = MessageBody(tuple(lifted.segments))
        return VisionRequest(
            model=self.question.model,
            body=body,
            images=tuple(lifted.images),
            numbers=tuple(lifted.numbers),
            picture_count=lifted.seen,
            document_count=lifted.documents,
            labels=labels,
            max_tokens=self.question.max_tokens,
            other_models=frozenset(named_models(self.question.extra)),
            stream=self.question.stream,
            detail=self.fields.detail,
            max_image_tokens=self.fields.max_image_tokens,
            max_cost_usd=self.fields.max_cost_usd,
            max_fetched_bytes=self.max_body_bytes,
            bounded=lifted.bounded,
            billed_as=billing_hints(self.question.extra, body),
            headers=self.headers,
            owner=self.caller.id,
            spenders=self.caller.spenders,
            endpoint=self.endpoint,
            request_id=self.request_id,
            url_mode=self.url_mode,
            notices=self.question.notices,
            room=self.room,
            calls=self.question.calls,
            exact_sizes=self.question.exact_sizes,
        )


async def read_request(
    request: Request, model: type[AnalyzeFields], settings: Settings, caller: Caller, services: Services
) -> Received:
    """What the client sent. Raises as `read_sent` and `understand`."""
    sent = await read_sent(request, settings, services.observer)
    return await understand(sent, request, model, settings, caller, services)


async def read_sent(request: Request, settings: Settings, observer: Observer) -> bytes | list[FormPart]:
    """The body as it came, or the parts of a form.

    Raises:
        AppError: it is too long, or of another kind.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        with observer.step("receive"):
            chunks = read_chunks(request, settings.max_body_bytes)
            return await read_form(chunks, content_type, settings.max_image_bytes)
    if media_type in {"application/json", ""}:
        with observer.step("receive"):
            return await read_body(request, settings.max_body_bytes)
    raise AppError(
        ErrorCode.INVALID_REQUEST,
        f"content-type {media_type[:100]!r} is not read here; send multipart/form-data or application/json",
    )


async def understand(
    sent: bytes | list[FormPart],
    request: Request,
    model: type[AnalyzeFields],
    settings: Settings,
    caller: Caller,
    services: Services,
) -> Received:
    """What it says.

    Raises:
        AppError: what is wrong with it, as early as it is known.
    """
    if isinstance(sent, bytes):
        values, images, passed = await off_loop(_from_json, sent, settings.max_image_bytes)
    else:
        values, images, passed = await off_loop(_from_form, sent, model)
    fields = validated(model, values)
    refuse_other_models(fields.model or settings.default_model, passed.extra, caller.models)
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
    wanted = Unfolding(fields.pages, fields.tiles, fields.detail, fields.max_image_tokens)
    return Received(
        fields,
        await unfold(question, wanted, services),
        forwarded_headers(request),
        caller=caller,
        endpoint=request.url.path,
        request_id=request.state.request_id,
        observer=services.observer,
        url_mode=settings.url_images,
        max_image_bytes=settings.max_image_bytes,
        max_body_bytes=settings.max_body_bytes,
        room=room_of(request),
    )


def forwarded_headers(request: Request) -> dict[str, str]:
    """The request's headers that go on to the Claude API."""
    names = {name for name in request.headers if name.startswith(FORWARDED_PREFIXES)}
    return {name: ", ".join(request.headers.getlist(name)) for name in sorted(names)}


@dataclass(frozen=True, slots=True)
class _Passed:
    """What goes on to the vendor as the bytes that came in."""

    messages: msgspec.Raw | None
    extra: JsonObject


def _from_form(
    parts: Sequence[FormPart], model: type[AnalyzeFields]
) -> tuple[dict[str, object], list[Picture], _Passed]:
    values: dict[str, object] = {}
    texts: dict[str, list[str]] = {}
    images: list[Picture] = []
    for part in parts:
        if part.name in _IMAGE_NAMES:
            images.append(_uploaded(part))
        elif part.is_file and part.name not in _ALSO_FILES.intersection(field_names(model)):
            raise _not_a_text(part.name, model)
        elif part.name == "image_url":
            images.append(RemoteImage(_text_of(part)))
        elif part.name == "file_id":
            images.append(FileImage(_text_of(part)))
        else:
            texts.setdefault(part.name, []).append(_text_of(part))
    messages, extra = _single(texts.pop("messages", None), "messages"), _single(texts.pop("extra", None), "extra")
    for name, given in texts.items():
        if name in _REPEATABLE and not given[0].lstrip().startswith("["):
            values[name] = given
        else:
            text = _single(given, name)
            values[name] = decode_any(text.encode(), f"{name} must be JSON") if text and name in _JSON_TEXT else text
    passed = _Passed(_raw(messages, "messages"), _extra(_raw(extra, "extra")))
    return values, images, passed


def _not_a_text(name: str, model: type[AnalyzeFields]) -> AppError:
    if name in field_names(model):
        message = f"{name}: this field takes text, not a file"
        return AppError(ErrorCode.INVALID_REQUEST, message, field=name, hint=f"with curl write -F '{name}=<file.txt'")
    return unknown_field(name, model)


def _from_json(body: bytes, max_image_bytes: int) -> tuple[dict[str, object], list[Picture], _Passed]:
    check_text(body)
    members = decode_json(body, JsonObject, "the body must be a JSON object")
    if len(members) > _MOST_FIELDS:
        message = f"the body has {len(members)} fields; the limit is {_MOST_FIELDS}"
        raise AppError(ErrorCode.INVALID_REQUEST, message, actual=len(members), limit=_MOST_FIELDS)
    given = [members.pop(name) for name in ("images", "image") if name in members]
    images = [image for entries in given for image in _listed(entries, max_image_bytes)]
    images += [RemoteImage(url) for url in _texts(members.pop("image_url", None), "image_url")]
    images += [FileImage(file_id) for file_id in _texts(members.pop("file_id", None), "file_id")]
    messages, extra = members.pop("messages", None), members.pop("extra", None)
    values: dict[str, object] = {
        name: bytes(raw).decode() if name in _UNREAD else decode_any(raw, name) for name, raw in members.items()
    }
    for name, value in values.items():
        if isinstance(value, list) and len(cast("list[object]", value)) > _MOST_ENTRIES:
            message = f"{name}: more than {_MOST_ENTRIES} items"
            raise AppError(ErrorCode.INVALID_REQUEST, message, field=name, limit=_MOST_ENTRIES)
    return values, images, _Passed(messages, _extra(extra))


def _uploaded(part: FormPart) -> Picture:
    if part.is_file:
        return RawImage(part.data, "upload", part.filename, part.media_type)
    error = ImageError(
        ErrorCode.INVALID_REQUEST,
        f"the field {part.name} is text, not a file",
        hint="with curl write -F image=@photo.jpg; base64 goes into a JSON body",
    )
    return UnusableImage(error)


def _listed(raw: msgspec.Raw, max_image_bytes: int) -> list[Picture]:
    """The entries of `images`, decoded."""
    refuse_many(raw, b"{", _MOST_ENTRIES, "pictures")
    entries = decode_json(raw, list[_ImageInput], _ENTRIES)
    return [_decoded(entry, max_image_bytes) for entry in entries]


def _decoded(entry: _ImageInput, max_image_bytes: int) -> Picture:
    name = None if entry.name is None else bare_name(entry.name)
    if entry.url is not None:
        return RemoteImage(entry.url, name)
    if entry.file_id is not None:
        return FileImage(entry.file_id)
    if entry.data is None:
        error = ImageError(ErrorCode.INVALID_REQUEST, 'it has no data; send {"data": BASE64, "name": ...}')
        return UnusableImage(error, name)
    try:
        data = decode_base64(entry.data)
    except ImageError as error:
        return UnusableImage(error, name)
    if len(data) > max_image_bytes:
        return UnusableImage(image_too_large(len(data), max_image_bytes), name)
    return RawImage(data, "base64", name)


def _texts(raw: msgspec.Raw | None, name: str) -> list[str]:
    """One text or several."""
    if raw is None:
        return []
    if bytes(raw).startswith(b'"'):
        return [decode_json(raw, str, f"{name} must be a text")]
    refuse_many(raw, b",", _MOST_ENTRIES, "texts")
    return decode_json(raw, list[str], f"{name} must be a text or an array of texts")


def _text_of(part: FormPart) -> str:
    try:
        return part.data.decode("utf-8-sig")  # some editors begin a file with a mark
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
