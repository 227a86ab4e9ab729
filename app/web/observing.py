"""Every request from its head to the last byte of its answer, as pure ASGI: its id, and what is told of it."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.pipeline import Observer


class Observed:
    """Begins and ends the record of each request; outside of everything else, so that nothing is missed."""

    def __init__(self, app: ASGIApp, new_id: Callable[[str], str], observer: Observer) -> None:
        """`new_id` gives a fresh id behind the prefix it is handed."""
        self._app = app
        self._new_id = new_id
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; nothing but HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._new_id("req_")
        scope.setdefault("state", {})["request_id"] = request_id
        record = self._observer.begin(request_id, scope["method"], dict(scope["headers"]))

        async def receive_counted() -> Message:
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)
            if message["type"] == "http.response.body":
                record.bytes_out += len(message.get("body", b""))
                record.complete = not message.get("more_body", False)

        try:
            await self._app(scope, receive_counted, send_counted)
        finally:
            record.route = getattr(scope.get("route"), "path", None)
            self._observer.end(record)
