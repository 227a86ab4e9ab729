"""The sandbox's own endpoints, which the vendor does not have."""

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.sandbox.state import State


def routes(state: State) -> list[Route]:
    """`/sandbox/journal`: read with GET (`?settled=true` waits until nothing is in progress), emptied with DELETE."""
    return [
        Route("/sandbox/journal", partial(_read_journal, state), methods=["GET"]),
        Route("/sandbox/journal", partial(_clear_journal, state), methods=["DELETE"]),
    ]


async def _read_journal(state: State, request: Request) -> Response:
    if request.query_params.get("settled") == "true":
        await state.journal.settle()
    return JSONResponse(state.journal.to_json())


async def _clear_journal(state: State, _request: Request) -> Response:
    state.journal.clear()
    return Response(status_code=204)
