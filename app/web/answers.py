"""Values of the pipeline into the JSON of the contract: the shapes, for the wire and for the documentation alike."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from app.domain import Cost, Notice, Page, Tile
from app.pipeline import Answer, Estimate, FileFacts, ImageReport, ModelEstimate

_NANODOLLAR = Decimal("1e-9")


def dollars(amount: Decimal) -> float:
    """USD as a JSON number with at most nine decimals."""
    return float(round(amount, 9))


Usd = Annotated[Decimal, PlainSerializer(dollars, when_used="json"), WithJsonSchema({"type": "number"})]


def is_absent(value: object) -> bool:
    """Whether a field that is told only where there is something to tell is left out."""
    return value is None


class WarningBody(BaseModel):
    """Something to know although the request went through."""

    code: Annotated[str, Field(examples=["first_frame_only"])]
    message: str


class FileBody(BaseModel):
    """A picture file."""

    media_type: str
    width_px: int
    height_px: int
    size_bytes: int
    sha256: str


class SentBody(FileBody):
    """The file that goes to Claude."""

    via: Literal["base64", "file"]


class PageBody(BaseModel):
    """Which page of a PDF the picture is; `scale_x` and `scale_y` lead to points from its top left corner."""

    number: int
    count: int
    width_pt: float
    height_pt: float


class TileBody(BaseModel):
    """Which part of a long picture; a place in the whole is `x_px + scale_x * x`, `y_px + scale_y * y`."""

    number: int
    count: int
    x_px: int
    y_px: int
    width_px: int
    height_px: int


class ImageBody(BaseModel):
    """What became of one picture."""

    index: int
    label: str | None
    name: str | None
    source: str
    original: FileBody
    sent: SentBody
    operations: list[str]
    scale_x: float
    scale_y: float
    tokens: int
    cost_usd: Usd | None
    warnings: list[WarningBody]
    page: Annotated[PageBody | None, Field(exclude_if=is_absent)] = None
    tile: Annotated[TileBody | None, Field(exclude_if=is_absent)] = None


class CostBody(BaseModel):
    """USD by kind of token. `images_usd` is the images' share of the input; it is not added to the total."""

    currency: Literal["USD"] = "USD"
    input_usd: Usd | None
    cache_write_usd: Usd | None
    cache_read_usd: Usd | None
    output_usd: Usd | None
    web_search_usd: Usd | None
    images_usd: Usd | None
    total_usd: Usd | None
    prices_as_of: date


class AnswerBody(BaseModel):
    """The answer of `/v1/analyze`."""

    id: str
    model: str
    text: str
    content: Annotated[list[Any], Field(description="Blocks other than text: thinking, tool use.")]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: Annotated[Any, Field(description="The vendor's words on a refusal, else null.")]
    sandbox: bool
    images: list[ImageBody]
    usage: dict[str, Any]
    cost: CostBody
    timing_ms: dict[str, float]
    warnings: list[WarningBody]
    request_id: str
    upstream_request_id: str | None


class TokensBody(BaseModel):
    """Input tokens before the call."""

    image: int
    text: int
    total: int
    counted_by: Literal["estimate", "vendor"]


class EstimatedCostBody(BaseModel):
    """USD before the call. `upper_bound_usd` takes every output token as used and every byte of text as a token."""

    currency: Literal["USD"] = "USD"
    input_usd: Usd | None
    images_usd: Usd | None
    upper_bound_usd: Usd | None
    prices_as_of: date


class ModelEstimateBody(BaseModel):
    """What the same request would cost on one model."""

    model: str
    tier: Literal["standard", "high"]
    tokens: TokensBody
    cost: EstimatedCostBody


class EstimateBody(BaseModel):
    """The answer of `/v1/estimate`."""

    model: str
    sandbox: bool
    images: list[ImageBody]
    tokens: TokensBody
    cost: EstimatedCostBody
    compare: list[ModelEstimateBody] | None
    timing_ms: dict[str, float]
    warnings: list[WarningBody]
    request_id: str


class NormalizeBody(BaseModel):
    """`report.json` of `/v1/normalize`."""

    images: list[ImageBody]
    sandbox: bool
    warnings: list[WarningBody]
    request_id: str


def answer_body(answer: Answer, request_id: str) -> AnswerBody:
    """The answer as the contract has it."""
    images_usd = None if answer.cost is None else answer.cost.images_usd
    return AnswerBody(
        id=answer.id,
        model=answer.model,
        text=answer.text,
        content=list(answer.content),
        stop_reason=answer.stop_reason,
        stop_sequence=answer.stop_sequence,
        stop_details=answer.stop_details,
        sandbox=answer.sandbox,
        images=image_bodies(answer.images, images_usd),
        usage=dict(answer.usage),
        cost=cost_body(answer.cost, answer.prices_as_of),
        timing_ms=dict(answer.timing_ms),
        warnings=warning_bodies(answer.notices),
        request_id=request_id,
        upstream_request_id=answer.upstream_request_id,
    )


def estimate_body(estimate: Estimate, request_id: str, *, sandbox: bool) -> EstimateBody:
    """The estimate as the contract has it."""
    chosen = _model_estimate(estimate.chosen, estimate.prices_as_of)
    compared = estimate.compared
    return EstimateBody(
        model=chosen.model,
        sandbox=sandbox,
        images=image_bodies(estimate.images, estimate.chosen.images_usd),
        tokens=chosen.tokens,
        cost=chosen.cost,
        compare=None if compared is None else [_model_estimate(row, estimate.prices_as_of) for row in compared],
        timing_ms=dict(estimate.timing_ms),
        warnings=warning_bodies(estimate.notices),
        request_id=request_id,
    )


def cost_body(cost: Cost | None, prices_as_of: date) -> CostBody:
    """The cost as the contract has it; null throughout where no price is known."""
    if cost is None:
        return CostBody(
            input_usd=None,
            cache_write_usd=None,
            cache_read_usd=None,
            output_usd=None,
            web_search_usd=None,
            images_usd=None,
            total_usd=None,
            prices_as_of=prices_as_of,
        )
    return CostBody(
        input_usd=cost.input_usd,
        cache_write_usd=cost.cache_write_usd,
        cache_read_usd=cost.cache_read_usd,
        output_usd=cost.output_usd,
        web_search_usd=cost.web_search_usd,
        images_usd=cost.images_usd,
        total_usd=cost.total_usd,
        prices_as_of=prices_as_of,
    )


def image_bodies(images: tuple[ImageReport, ...], images_usd: Decimal | None) -> list[ImageBody]:
    """The reports, the images' share of the cost divided among them by tokens."""
    total = sum(image.tokens for image in images)
    return [_image_body(image, None if images_usd is None else images_usd * image.tokens / total) for image in images]


def _image_body(image: ImageReport, cost_usd: Decimal | None) -> ImageBody:
    return ImageBody(
        index=image.index,
        label=image.label,
        name=image.name,
        source=image.source,
        original=FileBody(**_file(image.original)),
        sent=SentBody(**_file(image.sent), via=image.via),
        operations=list(image.operations),
        scale_x=round(image.scale_x, 6),
        scale_y=round(image.scale_y, 6),
        tokens=image.tokens,
        cost_usd=cost_usd,
        warnings=warning_bodies(image.notices),
        page=_page(image.part) if isinstance(image.part, Page) else None,
        tile=_tile(image.part) if isinstance(image.part, Tile) else None,
    )


def _page(page: Page) -> PageBody:
    width_pt, height_pt = round(page.width_pt, 3), round(page.height_pt, 3)
    return PageBody(number=page.number, count=page.count, width_pt=width_pt, height_pt=height_pt)


def _tile(tile: Tile) -> TileBody:
    return TileBody(
        number=tile.number,
        count=tile.count,
        x_px=tile.left_px,
        y_px=tile.top_px,
        width_px=tile.size.width_px,
        height_px=tile.size.height_px,
    )


def _file(file: FileFacts) -> dict[str, Any]:
    return {
        "media_type": file.media_type,
        "width_px": file.size.width_px,
        "height_px": file.size.height_px,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
    }


def _model_estimate(row: ModelEstimate, prices_as_of: date) -> ModelEstimateBody:
    tokens = TokensBody(
        image=row.tokens.image, text=row.tokens.text, total=row.tokens.total, counted_by=row.tokens.counted_by
    )
    cost = EstimatedCostBody(
        input_usd=row.input_usd,
        images_usd=row.images_usd,
        upper_bound_usd=row.upper_bound_usd,
        prices_as_of=prices_as_of,
    )
    return ModelEstimateBody(model=row.model.id, tier=row.model.tier.name, tokens=tokens, cost=cost)


def warning_bodies(notices: tuple[Notice, ...]) -> list[WarningBody]:
    """The notices as the contract has them."""
    return [WarningBody(code=notice.code, message=notice.message) for notice in notices]
