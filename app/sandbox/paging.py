"""One page of a list: how long it may be, and the pages that are named by the id beside them."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from starlette.requests import Request

from app.domain import Json
from app.sandbox.errors import invalid

DEFAULT_PAGE = 20
MAX_PAGE = 1_000
"""Items per page.

Source: anthropic 2.12.0, resources/models.py, resources/files.py and resources/messages/batches.py.
"""


class Identified(Protocol):
    """Anything that has an id."""

    @property
    def id(self) -> str:
        """The id, its own within a list."""
        ...


Item = TypeVar("Item", bound=Identified)


def read_limit(request: Request) -> int:
    """How many items the page may have.

    Raises:
        SandboxError: 400, `limit` is not from 1 to `MAX_PAGE`.
    """
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_PAGE
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid(f"limit: Input should be a whole number from 1 to {MAX_PAGE}")
    return int(text)


def tell_page(items: Sequence[Item], request: Request, describe: Callable[[Item], Json]) -> dict[str, Json]:
    """The page that `before_id`, `after_id` and `limit` ask for, in the vendor's envelope.

    Raises:
        SandboxError: 400, there is no such page.
    """
    page, has_more = _cut_page(items, request)
    return {
        "data": [describe(item) for item in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _cut_page(items: Sequence[Item], request: Request) -> tuple[Sequence[Item], bool]:
    limit = read_limit(request)
    before, after = request.query_params.get("before_id"), request.query_params.get("after_id")
    if before is not None and after is not None:
        raise invalid("before_id and after_id cannot both be given")
    if before is not None:
        end = _position(items, before, "before_id")
        start = max(0, end - limit)
        return items[start:end], start > 0
    start = 0 if after is None else _position(items, after, "after_id") + 1
    return items[start : start + limit], start + limit < len(items)


def _position(items: Sequence[Item], wanted: str, where: str) -> int:
    for position, item in enumerate(items):
        if item.id == wanted:
            return position
    raise invalid(f"{where}: there is no {wanted} in this list")
