"""The fields of the native endpoints, validated: one model for JSON and forms, and for the documentation."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
)

from app.domain import DetailLevel
from app.errors import AppError, ErrorCode
from app.pipeline import JsonObject, decode_json
from app.web.bodies import read_body

MAX_TOKENS = 10_000_000
"""More than any model gives; keeps sums of money within what a number can say."""

PAGES_PATTERN = r"^ *\d{1,6} *(- *\d{0,6} *)?(, *\d{1,6} *(- *\d{0,6} *)?)*$"


def _pages(text: str) -> str:
    if re.fullmatch(PAGES_PATTERN, text) is None:
        raise ValueError("it must be numbers of pages and spans of them, such as 1-3,7 or 21-")
    return text


def _said(target: str) -> str:
    if not target.strip():
        raise ValueError("say what to find, such as every table")
    return target


Target = Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_said)]
"""What to find."""

JsonValue = Any  # pydantic documents it as "any JSON"; values pass through to the vendor unread


class AnalyzeFields(BaseModel):
    """What `/v1/analyze` takes besides the pictures."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[
        str | None, Field(description="The question. Default: a plain request to describe the image(s).")
    ] = None
    model: Annotated[
        str | None, Field(min_length=1, max_length=200, description="Default: VISION_PROXY_DEFAULT_MODEL.")
    ] = None
    max_tokens: Annotated[
        int | None,
        Field(ge=1, le=MAX_TOKENS, description="Default: VISION_PROXY_DEFAULT_MAX_TOKENS. Thinking counts against it."),
    ] = None
    system: Annotated[
        str | list[dict[str, JsonValue]] | None,
        Field(description="System prompt; in JSON also an array of text blocks."),
    ] = None
    stop_sequences: Annotated[list[str] | None, Field(description="Texts that end the answer.")] = None
    thinking: Annotated[dict[str, JsonValue] | None, Field(description="Passed on as it is.")] = None
    effort: Annotated[str | None, Field(description="Passed on as `output_config.effort`.")] = None
    detail: Annotated[DetailLevel, Field(description="What each picture may cost.")] = "auto"
    max_image_tokens: Annotated[
        int | None, Field(ge=1, le=MAX_TOKENS, description="Most visual tokens of one picture.")
    ] = None
    max_cost_usd: Annotated[
        Decimal | None,
        Field(
            ge=0,
            le=1_000_000,
            description="Refuse before spending if the request may cost more.",
            json_schema_extra={"type": "number"},
        ),
    ] = None
    labels: Annotated[
        bool | None, Field(description='"Image 1:" before each picture. Default: where there are two or more.')
    ] = None
    pages: Annotated[
        Annotated[str, AfterValidator(_pages)] | None,
        Field(
            max_length=1_000,
            description="Pages of each PDF, such as `1-3,7` or `21-`. Default: the first 20.",
            json_schema_extra={"pattern": PAGES_PATTERN},
        ),
    ] = None
    tiles: Annotated[
        bool, Field(description="Cut a picture longer than 4:1 into overlapping parts at its own size.")
    ] = False
    stream: Annotated[bool, Field(description="Answer with server-sent events.")] = False


class ExtractFields(AnalyzeFields):
    """What `/v1/extract` takes besides the pictures."""

    schema_text: Annotated[
        str,
        Field(alias="schema", description="JSON Schema of the data, Draft 2020-12 unless `$schema` names another."),
        WithJsonSchema({"type": "object", "description": "JSON Schema of the data; in a form also as a file."}),
    ]
    structured: Annotated[
        bool, Field(description="Hold the model to the schema where it can be; else the schema goes into the prompt.")
    ] = True


class LocateFields(AnalyzeFields):
    """What `/v1/locate` takes besides the pictures."""

    target: Annotated[Target, Field(description="What to find, such as `every table`.")]

    @field_validator("detail")
    @classmethod
    def _seen_as_sent(cls, detail: DetailLevel) -> DetailLevel:
        """The detail, unless the model would not see the picture as it was sent.

        Raises:
            ValueError: `original` leaves scaling down to the vendor.
        """
        if detail == "original":
            raise ValueError("boxes need a picture of the size that the model sees; every other level gives one")
        return detail


class EstimateFields(AnalyzeFields):
    """What `/v1/estimate` takes besides the pictures."""

    compare: Annotated[bool, Field(description="Add a row for every known model.")] = False
    exact: Annotated[bool, Field(description="Let the vendor count the input tokens, which costs nothing.")] = False
    schema_text: Annotated[
        str | None,
        Field(alias="schema", description="As `/v1/extract` takes it: what that would cost is estimated."),
        WithJsonSchema({"type": "object", "description": "As `/v1/extract` takes it: what that would cost."}),
    ] = None
    structured: Annotated[bool, Field(description="As `/v1/extract` takes it.")] = True
    target: Annotated[
        Target | None, Field(description="As `/v1/locate` takes it: what that would cost is estimated.")
    ] = None


_Fields = TypeVar("_Fields", bound=BaseModel)

MAX_FIELDS_BYTES = 100_000
"""Of a body that holds fields and no pictures."""


async def read_fields(request: Request, model: type[_Fields]) -> _Fields:
    """The fields of a JSON body.

    Raises:
        AppError: `body_too_large`, or as `validated`.
    """
    body = await read_body(request, MAX_FIELDS_BYTES)
    decode_json(body, JsonObject, "the body must be a JSON object")
    return validated(model, json.loads(body))


def validated(model: type[_Fields], values: dict[str, object]) -> _Fields:
    """The fields as that model has them.

    Raises:
        AppError: `unknown_field` or `invalid_request`, naming the field and what it takes.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise unknown_field(name, model) from None
        message = first["msg"].removeprefix("Value error, ")  # pydantic's words for ours
        raise AppError(ErrorCode.INVALID_REQUEST, f"{name}: {message}", field=name) from None


def field_names(model: type[BaseModel]) -> list[str]:
    """What the fields are called on the wire."""
    return [field.alias or name for name, field in model.model_fields.items()]


def in_utc(instant: datetime) -> datetime:
    """The same instant in UTC, taken as one of UTC where it does not say.

    Raises:
        ValueError: it is none of the years 1 to 9999 there.
    """
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is beyond the years 1 to 9999 of UTC") from None


UtcInstant = Annotated[datetime, AfterValidator(in_utc)]
"""Any instant that both databases can keep."""


def unknown_field(name: str, model: type[BaseModel]) -> AppError:
    """The refusal of a field that does not exist here."""
    native = issubclass(model, AnalyzeFields)
    known = [*field_names(model), *(("image", "image_url", "file_id", "messages", "extra") if native else ())]
    return AppError(
        ErrorCode.UNKNOWN_FIELD,
        f"{name[:100]}: there is no such field; known are {', '.join(known)}",
        field=name[:100],
        hint="other fields of the Messages API go into `extra`" if native else None,
    )
