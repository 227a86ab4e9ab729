"""POST /v1/locate: where things are, in the pixels of the files that were uploaded."""

from typing import Annotated, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.pipeline import LOCATE_SCHEMA, Extraction, Stopwatch, ask_for_data, ask_where, located, refuse_unseen
from app.web.answers import AnswerBody, answer_body
from app.web.data import Asking, answered, composed, received
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.documentation import IDEMPOTENCY_KEY, LOCATE_EXAMPLE, body_of, responses_with
from app.web.fields import LocateFields
from app.web.idempotency import OnceOf

router = APIRouter(tags=["native"])


class ObjectBody(BaseModel):
    """One thing that was found."""

    label: str
    image: Annotated[int, Field(description="The `index` of its picture in `images`.")]
    box: Annotated[
        list[int | float],
        Field(
            description="[x1, y1, x2, y2] in upright pixels of the uploaded picture; of a PDF in points of its page."
        ),
    ]
    sent_box: Annotated[list[int | float], Field(description="The box as Claude gave it, in pixels of `sent`.")]


class LocateBody(AnswerBody):
    """The answer of `/v1/locate`: that of `/v1/analyze`, with the objects."""

    objects: list[ObjectBody]


@router.post(
    "/v1/locate",
    summary="Where things are in images",
    openapi_extra={**body_of(LocateFields), **IDEMPOTENCY_KEY},
    responses=responses_with(LocateBody, LOCATE_EXAMPLE, spends=True, streams=True, reads=True),
)
async def locate(
    request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf, once: OnceOf
) -> Response:
    """Boxes of every `target`, in pixels of the files that were uploaded, with what it cost.

    Takes what `/v1/analyze` takes. With `stream` the events are the same; `objects` come with `done`.
    """
    asking = Asking(request, services, settings, once, Stopwatch(services.clock.monotonic))
    understood = await received(asking, LocateFields, caller)
    if isinstance(understood, Response):
        return understood
    fields = cast("LocateFields", understood.fields)
    question = await ask_for_data(ask_where(understood.question, fields.target), LOCATE_SCHEMA, services)
    asked = await composed(asking, understood, question)
    refuse_unseen(asked.request)

    def body(extraction: Extraction) -> LocateBody:
        location = located(extraction)
        objects = [
            ObjectBody(label=found.label, image=found.image, box=list(found.box), sent_box=list(found.sent_box))
            for found in location.objects
        ]
        return LocateBody(**dict(answer_body(location.answer, request.state.request_id)), objects=objects)

    return await answered(asking, asked, body)
