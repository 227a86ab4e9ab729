"""What is too much for one body: the largest pictures go to the vendor as files, deleted once it has answered."""

from collections.abc import Mapping, Sequence

import anyio
import msgspec

from app.errors import UpstreamError
from app.imaging.prepared import PreparedImage
from app.pipeline.ports import Services
from app.upstream.calls import Call, Upload
from app.upstream.failures import unreadable

FILES = "/v1/files"
SHORTEST_EXPIRY_S = 3_600
"""Source: https://platform.claude.com/docs/en/build-with-claude/files, seen 2026-08-22."""

_FORGET_TIMEOUT_S = 10.0


class Spill:
    """The files that one request has put at the vendor for the time it lasts."""

    def __init__(self, services: Services, headers: Mapping[str, str]) -> None:
        """`headers` go with every call."""
        self._services = services
        self._headers = headers
        self._ids: list[str] = []

    async def take(self, images: Sequence[PreparedImage]) -> list[str]:
        """The vendor's id of each picture, in order; none at all where it does not take them."""
        ids: dict[int, str] = {}

        async def upload(index: int, image: PreparedImage) -> None:
            ids[index] = await self._upload(f"{index}.{image.media_type.removeprefix('image/')}", image)

        try:
            async with anyio.create_task_group() as tasks:
                for index, image in enumerate(images):
                    tasks.start_soon(upload, index, image)
        except* UpstreamError:
            ids.clear()
        return [ids[index] for index in sorted(ids)]

    async def forget(self) -> None:
        """Delete what was taken, also where the request was cancelled; what fails here the expiry deletes."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_FORGET_TIMEOUT_S):
            for file_id in self._ids:
                try:
                    await self._services.upstream.send(Call("DELETE", f"{FILES}/{file_id}", self._headers))
                except UpstreamError:
                    continue

    async def _upload(self, name: str, image: PreparedImage) -> str:
        form = Upload(name, image.data, image.media_type, {"expires_in_seconds": str(SHORTEST_EXPIRY_S)})
        reply = await self._services.upstream.send(Call("POST", FILES, self._headers, upload=form))
        file_id = reply.json_object().get("id")
        if not isinstance(file_id, str):
            raise unreadable(reply.request_id)
        self._ids.append(file_id)
        return file_id


def file_source(file_id: str) -> bytes:
    """The JSON of an image source that names a file."""
    return b'{"type":"file","file_id":' + msgspec.json.encode(file_id) + b"}"


def largest_until_fit(sizes: Sequence[int], budget: int) -> list[int]:
    """The places of the largest sizes, as few as it takes for the others to fit into the budget; in order."""
    left = sum(sizes)
    taken: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda index: sizes[index], reverse=True):
        if left <= budget:
            break
        left -= sizes[index]
        taken.append(index)
    return sorted(taken)
