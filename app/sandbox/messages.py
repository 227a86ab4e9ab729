"""The Messages API: `POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.domain import Json
from app.sandbox.answer import compose_answer
from app.sandbox.attendance import visit_of
from app.sandbox.billing import OVERHEAD_TOKENS, bill_input, check_context, count_prefixes
from app.sandbox.checks import check_count, check_message
from app.sandbox.faults import fail, fault_for, refuse_images
from app.sandbox.images import examine_images
from app.sandbox.reading import read_key, read_object, read_workspace
from app.sandbox.replies import reply_json, reply_stream
from app.sandbox.scripts import script_for
from app.sandbox.shaping import wants_boxes
from app.sandbox.state import State


def routes(state: State) -> list[Route]:
    """`/v1/messages` and `/v1/messages/count_tokens`."""
    return [
        Route("/v1/messages", partial(_create_message, state), methods=["POST"]),
        Route("/v1/messages/count_tokens", partial(_count_tokens, state), methods=["POST"]),
    ]


async def _create_message(state: State, request: Request) -> Response:
    key = read_key(request)
    fault = fault_for(request, state.faults)
    script = script_for(request, state.scripts)
    body = await _read_noted(request)
    version, beta = request.headers.get("anthropic-version", ""), "anthropic-beta" in request.headers
    asked = check_message(body, version=version, beta=beta)
    visit = visit_of(request)
    visit.stream = asked.stream
    find_file = partial(state.files.find_content, read_workspace(request), now=state.clock())
    boxes = asked.schema is not None and wants_boxes(asked.schema)
    images = await examine_images(asked.images, asked.model.tier, find_file, visit.images.append, for_boxes=boxes)
    check_context(count_prefixes(asked, images)[-1] + OVERHEAD_TOKENS, asked.model)
    await fail(fault, request, streams=asked.stream)
    refuse_images(fault, asked.images, images)

    answer = compose_answer(asked, images, script)
    bill = (await bill_input(asked, images, key, state.cache)).with_output(answer.output_tokens)
    if asked.stream:
        return reply_stream(request, answer, bill, fault)
    visit.billed = bill.to_json()
    return reply_json(request, answer.to_json(bill), fault)


async def _count_tokens(state: State, request: Request) -> Response:
    """The input tokens of a request.

    Stricter than the vendor, which counts a picture by its size alone: here every picture has to be one that
    `/v1/messages` would take. Pictures by URL or file id are not fetched.
    """
    workspace = read_workspace(request)
    fault = fault_for(request, state.faults)
    body = await _read_noted(request)
    asked = check_count(body, beta="anthropic-beta" in request.headers)
    embedded = [image for image in asked.images if image.source == "base64"]
    find_file = partial(state.files.find_content, workspace, now=state.clock())
    images = await examine_images(embedded, asked.model.tier, find_file, visit_of(request).images.append)
    input_tokens = count_prefixes(asked, images)[-1] + OVERHEAD_TOKENS
    check_context(input_tokens, asked.model)
    await fail(fault, request)
    refuse_images(fault, asked.images, images)
    return reply_json(request, {"input_tokens": input_tokens}, fault)


async def _read_noted(request: Request) -> dict[str, Json]:
    body = await read_object(request)
    visit = visit_of(request)
    visit.fields = sorted(body)
    visit.model = model if isinstance(model := body.get("model"), str) else None
    return body
