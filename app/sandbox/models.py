"""The Models API: which models there are, in the vendor's shape."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.catalog import load_catalog
from app.domain import Json, Model
from app.sandbox.errors import invalid
from app.sandbox.faults import fail, fault_for
from app.sandbox.lineup import BEFORE_4_6, find_model, thinking_types
from app.sandbox.paging import tell_page
from app.sandbox.reading import read_key
from app.sandbox.replies import reply_json
from app.sandbox.state import State

LIFECYCLES = ("active", "deprecated", "retired")

RETIRES_AT = {"claude-sonnet-4-5-20250929": "2026-11-30T00:00:00Z"}
"""The deprecated models that still answer.

Source: anthropic 2.12.0, _data/deprecated_models.py.
"""


def routes(state: State) -> list[Route]:
    """`/v1/models` and `/v1/models/{id}`."""
    return [
        Route("/v1/models", partial(_list_models, state), methods=["GET"]),
        Route("/v1/models/{model_id}", partial(_show_model, state), methods=["GET"]),
    ]


async def _list_models(state: State, request: Request) -> Response:
    read_key(request)
    fault = fault_for(request, state.faults)
    body = tell_page(_with_lifecycle(request), request, _describe)
    await fail(fault, request)
    return reply_json(request, body, fault)


async def _show_model(state: State, request: Request) -> Response:
    read_key(request)
    fault = fault_for(request, state.faults)
    model_id: str = request.path_params["model_id"]
    model = find_model(model_id)
    await fail(fault, request)
    return reply_json(request, _describe(model), fault)


def _with_lifecycle(request: Request) -> list[Model]:
    wanted = [*request.query_params.getlist("lifecycle"), *request.query_params.getlist("lifecycle[]")]
    for value in wanted:
        if value not in LIFECYCLES:
            raise invalid("lifecycle: Input should be 'active', 'deprecated' or 'retired'")
    return [model for model in load_catalog().all() if not wanted or _lifecycle(model) in wanted]


def _lifecycle(model: Model) -> str:
    return "deprecated" if model.id in RETIRES_AT else "active"


def _describe(model: Model) -> dict[str, Json]:
    """The vendor's description; the catalog keeps no release dates, and the vendor too gives the epoch for those."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": _display_name(model.id),
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": _lifecycle(model),
        "deprecated_at": None,
        "retires_at": RETIRES_AT.get(model.id),
        "line": model.id.split("-")[1],
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
        "capabilities": _capabilities(model),
    }


def _display_name(model_id: str) -> str:
    _, line, *version = [part for part in model_id.split("-") if not part.startswith("20")]
    return f"Claude {line.capitalize()} {'.'.join(version)}"


def _capabilities(model: Model) -> dict[str, Json]:
    yes: Json = {"supported": True}
    no: Json = {"supported": False}
    types = thinking_types(model)
    has_effort: Json = {"supported": not model.id.startswith(BEFORE_4_6)}
    return {
        "batch": yes,
        "citations": yes,
        "code_execution": yes,
        "context_management": {
            "supported": True,
            "clear_thinking_20251015": yes,
            "clear_tool_uses_20250919": yes,
            "compact_20260112": has_effort,
        },
        "effort": {
            "supported": not model.id.startswith(BEFORE_4_6),
            **dict.fromkeys(("low", "medium", "high", "xhigh", "max"), has_effort),
        },
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, "code_execution": yes, "web_search": yes},
        "structured_outputs": {"supported": model.structured_outputs},
        "thinking": {
            "supported": True,
            "types": {
                name: yes if name in types else no for name in ("adaptive", "between_tools", "disabled", "enabled")
            },
        },
    }
