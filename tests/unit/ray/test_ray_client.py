"""What the REST client makes of answers that are none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from operators.ports import ServeUnavailable
from operators.rayserve import RayServe
from serving.client import ServeAccessDenied, ServeAnswerInvalid, ServeClient, ServeRefused, ServeUnreachable
from serving.details import ReplicaTarget

Answer = Callable[[bytes], bytes]


def response(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """An HTTP server on a free port that answers every request head with what `answer` makes of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(head))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@asynccontextmanager
async def client(status: str, body: bytes) -> AsyncIterator[ServeClient]:
    async with server(lambda _: response(status, body)) as port, ServeClient(f"http://127.0.0.1:{port}", "t") as it:
        yield it


async def test_the_token_is_sent_to_ray_and_not_to_replicas() -> None:
    heads: list[bytes] = []

    def answer(head: bytes) -> bytes:
        heads.append(head.lower())
        return response("200 OK", b'{"applications": {}}')

    async with server(answer) as port, ServeClient(f"http://127.0.0.1:{port}", "secret") as it:
        await it.details()
        await it.ask(ReplicaTarget(name="SERVE_REPLICA::a", ip="127.0.0.1", port=port))
    assert b"authorization: bearer secret" in heads[0]
    assert b"authorization" not in heads[1]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_wrong_token_is_told_as_such(status: str) -> None:
    async with client(status, b"") as it:
        with pytest.raises(ServeAccessDenied, match="refused the token"):
            await it.details()


async def test_a_refusal_carries_rays_own_words() -> None:
    async with client("400 Bad Request", b"Found duplicate applications") as it:
        with pytest.raises(ServeRefused, match="answered 400: Found duplicate applications"):
            await it.put({"applications": []})


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"applications": {"a": {"name": "a"}}}'])
async def test_an_answer_that_lacks_what_is_needed_is_not_taken_for_an_empty_one(body: bytes) -> None:
    async with client("200 OK", body) as it:
        with pytest.raises(ServeAnswerInvalid, match="not understood"):
            await it.details()


async def test_fields_and_statuses_of_later_releases_do_no_harm() -> None:
    body = b'{"news": 1, "applications": {"a": {"name": "a", "status": "RESTING", "more": [1]}}, "target_groups": []}'
    async with client("200 OK", body) as it:
        details = await it.details()
    assert not details.applications["a"].failed
    assert not details.applications["a"].deleting


async def test_nobody_there_is_told_with_the_address() -> None:
    async with server(lambda _: b"") as port:
        pass
    async with ServeClient(f"http://127.0.0.1:{port}") as it:
        with pytest.raises(ServeUnreachable, match=f"http://127.0.0.1:{port} cannot be reached"):
            await it.details()


async def test_a_replica_that_does_not_answer_is_no_error() -> None:
    async with (
        server(lambda _: response("503 Service Unavailable", b"draining")) as port,
        ServeClient("http://x") as it,
    ):
        assert await it.ask(ReplicaTarget(name="SERVE_REPLICA::a", ip="127.0.0.1", port=port)) is None
    async with ServeClient("http://x") as it:
        assert await it.ask(ReplicaTarget(name="SERVE_REPLICA::a", ip="127.0.0.1", port=port)) is None


@pytest.mark.parametrize("use", [RayServe.observe, lambda serve: serve.apply([])], ids=["observe", "apply"])
async def test_the_operator_hears_one_kind_of_error(use: Callable[[RayServe], Awaitable[object]]) -> None:
    async with client("503 Service Unavailable", b"the GCS may be down") as it:
        with pytest.raises(ServeUnavailable, match="the GCS may be down"):
            await use(RayServe(it))
