"""A server under load, with a slow model, with slow clients, while it drains, and after its end."""

import asyncio
import concurrent.futures
import re
import socket
import time

import httpx
import orjson
import pytest
from serverkit import Held, is_unharmed, read_all, tensor

from serving.errors import ServerStartError, ServerUnhealthy
from serving.limits import Limits
from serving.server import ModelServer, ServerConfig

INFER = "/v2/models/iris/infer"


@pytest.fixture
def held():
    model = Held()
    yield model
    model.gate.set()


async def post_all(url, requests):
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        return await asyncio.gather(*(client.post(INFER, json=request) for request in requests))


async def until(condition, seconds=5.0):
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


async def ask_four_at_once(port, first, barrier):
    """Send four distinguishable requests on one connection before any is answered; returns the answers' bodies."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(first, first + 4):
        body = orjson.dumps({"id": str(number), **tensor([[number, 0.5]])})
        writer.write(b"POST /v2/models/iris/infer HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await barrier.wait()
    bodies = []
    for _ in range(4):
        head = await reader.readuntil(b"\r\n\r\n")
        bodies.append(orjson.loads(await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))))
    writer.close()
    return bodies


async def test_two_thousand_requests_at_once_each_get_their_own_answer(serve, held):
    server, url = serve(held, max_queue=2_000)
    held.gate.clear()
    barrier = asyncio.Barrier(501)
    port = httpx.URL(url).port
    asking = [asyncio.create_task(ask_four_at_once(port, first, barrier)) for first in range(0, 2_000, 4)]
    await barrier.wait()
    await until(lambda: server.stats().in_flight == 2_000)
    held.gate.set()
    answers = [answer for four in await asyncio.gather(*asking) for answer in four]
    assert [answer["id"] for answer in answers] == [str(number) for number in range(2_000)]
    assert [answer["outputs"][0]["data"] for answer in answers] == [[2 * number + 0.5] for number in range(2_000)]
    assert server.stats().in_flight == 0
    assert max(held.batches) == 64


async def test_in_a_shared_batch_only_the_guilty_request_fails(serve, held):
    _, url = serve(held)
    held.gate.clear()
    requests = [tensor([[number, 0]]) if number % 10 else tensor([[-1, 0]]) for number in range(60)]
    sending = asyncio.create_task(post_all(url, requests))
    await asyncio.to_thread(held.entered.wait)
    held.gate.set()
    answers = await sending
    for number, answer in enumerate(answers):
        assert answer.status_code == (200 if number % 10 else 500)
        if number % 10:
            assert answer.json()["outputs"][0]["data"] == [2 * number]
        else:
            assert answer.json()["code"] == "model_error"
            assert answer.json()["error"] == "the model raised ValueError: row begins with -1"


async def test_a_slow_model_does_not_keep_health_waiting(serve, held):
    server, url = serve(held)
    held.gate.clear()
    async with httpx.AsyncClient(base_url=url) as client:
        waiting = asyncio.create_task(client.post(INFER, json=tensor([[1, 2]]), timeout=30))
        await asyncio.to_thread(held.entered.wait)
        assert (await client.get("/v2/health/ready", timeout=2)).status_code == 200
        server.check()
        assert not waiting.done()
        held.gate.set()
        assert (await waiting).json()["outputs"][0]["data"] == [4]


async def test_beyond_the_queue_requests_get_503_and_when_to_come_again(serve, held):
    server, url = serve(held, max_queue=3)
    held.gate.clear()
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        first = asyncio.create_task(client.post(INFER, json=tensor([[1, 2]])))
        await asyncio.to_thread(held.entered.wait)
        queued = [asyncio.create_task(client.post(INFER, json=tensor([[1, 2]]))) for _ in range(5)]
        done, waiting = await asyncio.wait(queued, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, waiting = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        for task in done:
            answer = task.result()
            assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
            assert answer.headers["retry-after"] == "1"
        assert server.stats().queued == 3
        held.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(first, *waiting)] == [200] * 4


async def test_the_model_is_spared_the_requests_of_those_who_have_left(serve, held):
    server, url = serve(held)
    held.gate.clear()
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        first = asyncio.create_task(client.post(INFER, json=tensor([[1, 2]])))
        await asyncio.to_thread(held.entered.wait)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(INFER, json=tensor([[3, 4]]), timeout=0.2)
        await until(lambda: server.stats().in_flight == 1)
        held.gate.set()
        await first
        assert (await client.post(INFER, json=tensor([[5, 6]]))).status_code == 200
    assert held.batches == [1, 1]


async def test_a_drain_answers_all_it_accepted_and_closes_each_connection(serve, held):
    server, url = serve(held)
    held.gate.clear()
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        accepted = [asyncio.create_task(client.post(INFER, json=tensor([[n, 0]]))) for n in range(10)]
        await until(lambda: server.stats().in_flight == 10)
        drained = asyncio.create_task(asyncio.to_thread(server.drain, 20.0))
        await until(lambda: server.stats().draining)
        async with httpx.AsyncClient(base_url=url, timeout=30) as late:
            ready = await late.get("/v2/health/ready")
            assert (ready.status_code, ready.json()["code"]) == (503, "draining")
            assert ready.headers["connection"] == "close"
            assert (await late.get("/v2/health/live")).status_code == 200
            straggler = asyncio.create_task(late.post(INFER, json=tensor([[100, 0]])))
            await until(lambda: server.stats().in_flight == 11)
            assert not drained.done()
            held.gate.set()
            answers = await asyncio.gather(*accepted, straggler)
        assert [answer.json()["outputs"][0]["data"] for answer in answers] == [[2 * n] for n in [*range(10), 100]]
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        assert await drained


async def test_a_drain_that_cannot_finish_says_so_in_time(serve, held):
    server, url = serve(held)
    held.gate.clear()
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        waiting = asyncio.create_task(client.post(INFER, json=tensor([[1, 2]])))
        await asyncio.to_thread(held.entered.wait)
        assert not await asyncio.to_thread(server.drain, 0.2)
        held.gate.set()
        await waiting


def test_slow_clients_get_408_and_harm_nobody(serve, iris_model):
    limits = Limits(head_seconds=0.3, body_seconds=0.3)
    _, url = serve(iris_model, limits=limits)
    port = httpx.URL(url).port
    head = b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
    slow = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(20)]
    for number, client in enumerate(slow):
        client.sendall(head if number % 2 else head + b"\r\n{")
    with httpx.Client(base_url=url) as client:
        assert is_unharmed(client, INFER)
    for client in slow:
        with client:
            assert read_all(client).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_client_that_reads_nothing_is_cut_off_and_costs_little(serve, held):
    server, url = serve(held, limits=Limits(write_seconds=0.3))
    request = b"GET /v2/models/iris HTTP/1.1\r\n\r\n" * 2_000
    _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port, limit=1024)

    async def flood():
        while True:
            writer.write(request)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(flood(), 10)
    writer.close()
    await until(lambda: server.stats().connections == 0)
    assert server.stats().in_flight == 0


def test_a_server_that_was_never_started_is_unhealthy_and_has_done_nothing(held):
    server = ModelServer(ServerConfig("iris", "v1"), held)
    with pytest.raises(ServerUnhealthy):
        server.check()
    assert server.stats().requests == 0
    assert not server.drain(1)
    server.stop()


def test_a_drain_that_is_overtaken_by_the_end_says_that_it_did_not_finish(serve, held):
    server, url = serve(held)
    held.gate.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        lost = pool.submit(httpx.post, f"{url}{INFER}", json=tensor([[1, 2]]), timeout=30)
        held.entered.wait()
        draining = pool.submit(server.drain, 30)
        while not server.stats().draining:
            time.sleep(0.01)
        server.stop()
        assert not draining.result(10)
        assert isinstance(lost.exception(10), httpx.TransportError)


def test_a_port_in_use_is_a_start_error(serve, held):
    _, url = serve(held)
    port = httpx.URL(url).port
    with pytest.raises(ServerStartError, match=f"cannot listen on 127.0.0.1:{port}"):
        ModelServer(ServerConfig("iris", "v1", port=port), held).start()


def test_a_version_that_cannot_stand_in_a_header_is_refused():
    with pytest.raises(ValueError, match="header"):
        ServerConfig("iris", "v1\r\nx: y")


def test_a_stopped_server_is_unhealthy_and_its_port_is_closed(serve, held):
    server, url = serve(held)
    server.check()
    server.stop()
    server.stop()
    with pytest.raises(ServerUnhealthy, match="not running"):
        server.check()
    assert not server.drain(1)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_model_call_that_does_not_come_back_is_unhealthy(serve, held):
    server, url = serve(held, call_seconds=0.1)
    held.gate.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, f"{url}{INFER}", json=tensor([[1, 2]]), timeout=30)
        held.entered.wait()

        def check_for_long():
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                server.check()

        with pytest.raises(ServerUnhealthy, match=r"over 0\.1 seconds"):
            check_for_long()
        held.gate.set()
        assert waiting.result().status_code == 200


def test_a_loop_that_does_not_answer_is_unhealthy(serve, held, monkeypatch):
    monkeypatch.setattr("serving.batching.INLINE_SECONDS", 60)
    server, url = serve(held, check_seconds=0.2)
    httpx.post(f"{url}{INFER}", json=tensor([[1, 2]]))  # measured as quick, the model now runs on the loop's thread
    held.gate.clear()
    held.entered.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, f"{url}{INFER}", json=tensor([[1, 2]]), timeout=30)
        held.entered.wait()
        with pytest.raises(ServerUnhealthy, match="has not answered"):
            server.check()
        held.gate.set()
        assert waiting.result().status_code == 200


def test_the_statistics_add_up(serve, held):
    server, url = serve(held)
    with httpx.Client(base_url=url) as client:
        for _ in range(3):
            client.get("/v2")
        stats = server.stats()
    assert (stats.connections, stats.requests, stats.in_flight, stats.queued) == (1, 3, 0, 0)
