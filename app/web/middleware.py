"""What every answer carries, as pure ASGI: a request id, the mark of the sandbox, one shape even where all fails."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain import SANDBOX_HEADER
from app.pipeline import Observer
from app.web.errors import unexpected

REQUEST_ID_HEADER = "x-vision-proxy-request-id"


class Marks:
    """Gives each answer its headers; the request has its id from `Observed`, which is around this."""

    def __init__(self, app: ASGIApp, observer: Observer, *, sandbox: bool) -> None:
        """`observer` is that of the process; `sandbox` marks every answer as the sandbox's."""
        self._app = app
        self._observer = observer
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; nothing but HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id: str = scope["state"]["request_id"]

        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                headers.setdefault("request-id", request_id)
                if self._sandbox:
                    headers[SANDBOX_HEADER] = "true"
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception as error:
            if started:
                raise
            response = unexpected(error, request_id, self._observer)
            await response(scope, receive, send_marked)
