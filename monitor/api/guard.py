"""What holds for every request: it has an id, its body is JSON and has a limit. https://asgi.readthedocs.io/"""

from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.errors import ApiError

LARGEST_BODY: Final = 32 << 20
"""Bytes. A batch of replicas is far smaller."""


class Guard:
    """Wraps an application. The id is the one that Envoy gave, and comes back in `x-request-id`.

    Whatever content type a client claims, as `curl -d` claims a form, its body is read as JSON.
    """

    def __init__(self, app: ASGIApp, largest_body: int = LARGEST_BODY) -> None:
        self._app = app
        self._largest = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = Headers(scope=scope).get("x-request-id") or uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        scope = {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                raise ApiError(413, "body_too_large", f"the body is larger than {self._largest} bytes")
            return message

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        await self._app(scope, bounded, named)
