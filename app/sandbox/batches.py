"""The Message Batches API: `POST /v1/messages/batches` and what can be asked of a batch afterwards.

A batch is processed before its creation is answered, so that nobody has to wait for it; with the fault `hold` it is not
processed at all and stays in progress until it is cancelled or expires.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio.lowlevel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.domain import Json
from app.sandbox.answer import compose_answer
from app.sandbox.attendance import visit_of
from app.sandbox.batch_store import Batch, Outcome, outcome_of
from app.sandbox.billing import OVERHEAD_TOKENS, bill_input, check_context, count_prefixes
from app.sandbox.checks import check_message
from app.sandbox.errors import SandboxError, error_body, invalid, not_found
from app.sandbox.faults import Fault, fail, fault_for, refuse_images
from app.sandbox.images import examine_images
from app.sandbox.journal import ImageRecord, Visit
from app.sandbox.narrowing import as_list, as_object, as_string, refuse_others, required
from app.sandbox.paging import tell_page
from app.sandbox.reading import read_key, read_object, read_workspace
from app.sandbox.replies import reply_json, reply_lines
from app.sandbox.state import State

MAX_BODY_BYTES = 256_000_000
"""The largest body. The vendor says "256 MB"; this is the stricter reading."""

MAX_REQUESTS = 100_000
CUSTOM_ID = r"^[a-zA-Z0-9_-]{1,64}$"
FORBIDDEN = ("speed", "fallbacks")
"""Parameters that no request of a batch may have, beside a true `stream` and a `max_tokens` of 0.

Source of all four: https://platform.claude.com/docs/en/build-with-claude/batch-processing, seen 2026-08-22.
"""


@dataclass(frozen=True, slots=True)
class BatchedRequest:
    """One request of a batch; `params` is the body that `/v1/messages` would get."""

    custom_id: str
    params: dict[str, Json]


def routes(state: State) -> list[Route]:
    """`/v1/messages/batches`, one batch, its `cancel` and its `results`."""
    one = "/v1/messages/batches/{batch_id}"
    return [
        Route("/v1/messages/batches", partial(_create_batch, state), methods=["POST"]),
        Route("/v1/messages/batches", partial(_list_batches, state), methods=["GET"]),
        Route(one, partial(_show_batch, state), methods=["GET"]),
        Route(one, partial(_delete_batch, state), methods=["DELETE"]),
        Route(f"{one}/cancel", partial(_cancel_batch, state), methods=["POST"]),
        Route(f"{one}/results", partial(_stream_results, state), methods=["GET"]),
    ]


async def _create_batch(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    body = await read_object(request, MAX_BODY_BYTES)
    visit_of(request).fields = sorted(body)
    asked = check_batch(body)
    await fail(fault, request)
    batch = Batch(
        id=f"msgbatch_sandbox_{secrets.token_hex(12)}",
        created_at=state.clock(),
        outcomes=tuple(Outcome(one.custom_id, "processing") for one in asked),
    )
    if fault.kind != "hold":
        outcomes = [await _process(state, request, fault, index, one) for index, one in enumerate(asked)]
        batch = replace(batch, outcomes=tuple(outcomes), ended_at=state.clock())
    state.batches.put(workspace, batch)
    return reply_json(request, _tell(state, request, batch), fault)


async def _list_batches(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    body = tell_page(state.batches.list(workspace, state.clock()), request, lambda batch: _tell(state, request, batch))
    await fail(fault, request)
    return reply_json(request, body, fault)


async def _show_batch(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    batch = _find(state, request, workspace)
    await fail(fault, request)
    return reply_json(request, _tell(state, request, batch), fault)


async def _cancel_batch(state: State, request: Request) -> Response:
    """The batch as it is while it is being cancelled; whoever asks again finds it ended."""
    workspace, fault = _admit(state, request)
    batch = _find(state, request, workspace)
    if batch.ended_at is not None:
        raise invalid(f"Message batch `{batch.id}` has ended and cannot be canceled.")
    await fail(fault, request)
    now = state.clock()
    canceling = replace(batch, cancel_initiated_at=now)
    state.batches.put(workspace, canceling.end("canceled", now))
    return reply_json(request, _tell(state, request, canceling), fault)


async def _delete_batch(state: State, request: Request) -> Response:
    workspace, fault = _admit(state, request)
    batch = _find(state, request, workspace)
    if batch.ended_at is None:
        raise invalid(f"Message batch `{batch.id}` is still in progress; cancel it before it is deleted.")
    await fail(fault, request)
    state.batches.delete(workspace, batch.id)
    return reply_json(request, {"id": batch.id, "type": "message_batch_deleted"}, fault)


async def _stream_results(state: State, request: Request) -> Response:
    """The results, last request first: the vendor promises no order, and nobody should count on one."""
    workspace, fault = _admit(state, request)
    batch = _find(state, request, workspace)
    if not batch.has_results(state.clock()):
        raise not_found(f"Message batch `{batch.id}` has no results: it has not ended, or was archived.")
    await fail(fault, request)
    return reply_lines(request, [outcome.line for outcome in reversed(batch.outcomes)], fault)


def check_batch(body: dict[str, Json]) -> list[BatchedRequest]:
    """The requests of a batch; what `params` hold is judged when each is processed, save what no batch allows.

    Raises:
        SandboxError: 400, the batch is not shaped as it should be.
    """
    refuse_others(body, ("requests",))
    values = as_list(required(body, "requests"), "requests")
    if not values:
        raise invalid("requests: List should have at least 1 item after validation, not 0")
    if len(values) > MAX_REQUESTS:
        raise invalid(f"requests: List should have at most {MAX_REQUESTS} items after validation, not {len(values)}")
    seen: dict[str, int] = {}
    asked: list[BatchedRequest] = []
    for index, value in enumerate(values):
        one = _check_one(value, f"requests.{index}")
        if one.custom_id in seen:
            raise invalid(
                f"requests.{index}.custom_id: '{one.custom_id}' is already the custom_id of "
                f"requests.{seen[one.custom_id]}; each must be unique within the batch"
            )
        seen[one.custom_id] = index
        asked.append(one)
    return asked


def _check_one(value: Json, where: str) -> BatchedRequest:
    given = as_object(value, where)
    refuse_others(given, ("custom_id", "params"), f"{where}.")
    custom_id = as_string(required(given, "custom_id", f"{where}."), f"{where}.custom_id")
    if re.fullmatch(CUSTOM_ID.strip("^$"), custom_id) is None:
        raise invalid(f"{where}.custom_id: String should match pattern '{CUSTOM_ID}'")
    params = as_object(required(given, "params", f"{where}."), f"{where}.params")
    for name in FORBIDDEN:
        if params.get(name) is not None:
            raise invalid(f"{where}.params.{name}: not supported in a batch")
    if params.get("stream") is True:
        raise invalid(f"{where}.params.stream: not supported in a batch")
    if params.get("max_tokens") == 0:
        raise invalid(f"{where}.params.max_tokens: 0 is not supported in a batch")
    return BatchedRequest(custom_id, params)


async def _process(state: State, request: Request, fault: Fault, index: int, one: BatchedRequest) -> Outcome:
    # A batch of texts only would otherwise keep the loop to itself.
    await anyio.lowlevel.checkpoint()
    visit = visit_of(request)
    try:
        message = await _answer(state, request, fault, one.params, partial(_note, visit, index))
    except SandboxError as error:
        return outcome_of(one.custom_id, "errored", error=error_body(error, visit.request_id))
    return outcome_of(one.custom_id, "succeeded", message=message)


async def _answer(
    state: State, request: Request, fault: Fault, params: dict[str, Json], note: Callable[[ImageRecord], None]
) -> dict[str, Json]:
    key = read_key(request)
    version, beta = request.headers.get("anthropic-version", ""), "anthropic-beta" in request.headers
    asked = check_message(params, version=version, beta=beta)
    find_file = partial(state.files.find_content, read_workspace(request), now=state.clock())
    images = await examine_images(asked.images, asked.model.tier, find_file, note)
    check_context(count_prefixes(asked, images)[-1] + OVERHEAD_TOKENS, asked.model)
    refuse_images(fault, asked.images, images)
    answer = compose_answer(asked, images)
    bill = (await bill_input(asked, images, key, state.cache)).with_output(answer.output_tokens)
    return answer.to_json(replace(bill, service_tier="batch"))


def _note(visit: Visit, index: int, record: ImageRecord) -> None:
    visit.images.append(replace(record, path=f"requests.{index}.params.{record.path}"))


def _admit(state: State, request: Request) -> tuple[str, Fault]:
    return read_workspace(request), fault_for(request, state.faults)


def _find(state: State, request: Request, workspace: str) -> Batch:
    return state.batches.find(workspace, request.path_params["batch_id"], state.clock())


def _tell(state: State, request: Request, batch: Batch) -> dict[str, Json]:
    """The batch, with results at the address by which the sandbox itself was reached."""
    return batch.to_json(f"{request.base_url}v1/messages/batches/{batch.id}/results", state.clock())
