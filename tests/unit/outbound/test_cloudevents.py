"""Records go to a sink as CloudEvents: what is sent is read by the CloudEvents SDK."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from monitorkit import NOON, Clock, Sender, record, running
from outboundkit import DEADLINE, Got, Receiver, working
from prometheus_client import CollectorRegistry
from sqlalchemy import delete

from monitor.outbound import forward
from monitor.outbound.forward import Forwarder, Mode, Sink
from monitor.outbound.hooks import Hooks
from monitor.outbound.metrics import Metrics
from monitor.store.schema import records
from monitor.store.service import Store

pytestmark = pytest.mark.usefixtures("quick")

MODES: Sequence[Mode] = ("batch", "single")


def read(got: Got) -> list[CloudEvent]:
    """The events in a request, by the SDK."""
    kind, form = got.headers.get("content-type", ""), JSONFormat()
    if not kind.startswith("application/cloudevents-batch+json"):
        return [_of_version_1(from_binary(HTTPMessage(dict(got.headers), got.body), form))]
    one = {"content-type": "application/cloudevents+json"}
    return [_of_version_1(from_structured(HTTPMessage(one, form_of(document)), form)) for document in got.content]


def form_of(document: Any) -> bytes:
    return json.dumps(document).encode()


def _of_version_1(event: object) -> CloudEvent:
    assert isinstance(event, CloudEvent)
    return event


def requests(got: Sequence[Got]) -> list[str]:
    """The ids of the requests, in the order in which they came."""
    every = [event for one in got for event in read(one)]
    return [event.get_id() for event in every if event.get_type().endswith(".request")]


class Bench:
    """A forwarder on a store that a replica sends to."""

    def __init__(self, store: Store, sink: Sink) -> None:
        self.store = store
        self.sender = Sender()
        self.registry = CollectorRegistry()
        self.hooks = Hooks()
        self.forwarder = Forwarder(sink, self.hooks, store, Metrics(self.registry))

    async def send(self, *names: str, at: float = NOON, **more: Any) -> None:
        """Have requests with these ids recorded."""
        values = {"inputs": {"x": [1.5]}, "outputs": {"predict": ["rose"]}} | more
        await self.store.store(self.sender.send(*(record(name, at, **values) for name in names)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            async with working(self.forwarder.run()):
                yield
        finally:
            await self.hooks.close()

    async def begin(self) -> None:
        """Run until it has noted where to begin, which is behind what is there."""
        async with self.running():
            await self.until(lambda place: place is not None)

    async def until(self, reached: Callable[[int | None], bool]) -> None:
        """Return once the place is so."""
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.store.reading() as connection:
                    if reached(await forward._position(connection)):
                        return
                await asyncio.sleep(0.01)

    def counted(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"tidegate_cloudevents_{name}")


@pytest.mark.parametrize("mode", MODES)
async def test_a_record_becomes_a_request_and_a_response_as_of_kserve(
    store: Store, receiver: Receiver, mode: Mode
) -> None:
    bench = Bench(store, Sink(receiver.url, mode=mode))
    await bench.begin()
    async with bench.running():
        await bench.send("a b/ä%\t", at=NOON + 0.25)
        got = await receiver.has(1 if mode == "batch" else 2)
    request, response = [event for one in got for event in read(one)]
    assert request.get_type() == "org.kubeflow.serving.inference.request"
    assert response.get_type() == "org.kubeflow.serving.inference.response"
    for event in (request, response):
        assert event.get_specversion() == "1.0"
        assert event.get_id() == "a b/ä%\ufffd"
        assert event.get_extension("inferenceservicename") == "iris"
        assert event.get_extension("namespace") == "default"
        assert event.get_extension("component") == "v1"
        assert str(event.get_extension("mirrored")).lower() == "false"
        assert event.get_time().timestamp() == NOON + 0.25
        assert event.get_datacontenttype() == "application/json"
    assert request.get_source() == "/namespaces/default/models/iris/versions/v1/requests"
    assert response.get_source() == "/namespaces/default/models/iris/versions/v1/responses"
    assert str(response.get_extension("httpstatus")) == "200"
    assert request.get_data() == {"x": [1.5]}
    assert response.get_data() == {"predict": ["rose"]}


@pytest.mark.parametrize("mode", MODES)
async def test_values_that_were_not_recorded_are_no_data_and_an_error_has_no_response(
    store: Store, receiver: Receiver, mode: Mode
) -> None:
    bench = Bench(store, Sink(receiver.url, mode=mode))
    await bench.begin()
    async with bench.running():
        await bench.send("failed", status=500, inputs=None, outputs=None, mirrored=True)
        (got,) = await receiver.has(1)
    (event,) = read(got)
    assert (event.get_id(), event.get_data()) == ("failed", None)
    assert str(event.get_extension("mirrored")).lower() == "true"


@pytest.mark.parametrize("mode", MODES)
async def test_records_go_in_order_and_once(
    store: Store, receiver: Receiver, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "PAGE", 7)
    bench = Bench(store, Sink(receiver.url, mode=mode))
    await bench.send("before")
    await bench.begin()
    names = [str(n) for n in range(20)]
    async with bench.running():
        for start in range(0, 20, 4):
            await bench.send(*names[start : start + 4])
        await bench.until(lambda place: place == 21)
    assert requests(receiver.got) == names
    assert bench.counted("forwarded_records_total") == 20


async def test_a_sink_that_is_away_is_waited_for_and_the_lag_is_measured(
    store: Store, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(store, Sink(receiver.url))
    await bench.begin()
    receiver.answers = [500, 503, 302, 404]
    await bench.send("a", "b", "c")
    async with bench.running():
        await receiver.has(4)
        assert bench.counted("lag_records") == 3
        await bench.until(lambda place: place == 3)
        await bench.send("d")
        await bench.until(lambda place: place == 4)
    assert requests(receiver.got[4:]) == ["a", "b", "c", "d"]
    assert bench.counted("failures_total") == 4
    assert caplog.text.count("records wait for it") == 1


async def test_a_sink_that_hangs_is_asked_again(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()

    async def hang(_: Got) -> web.Response:
        await over.wait()
        return web.Response(status=204)

    bench = Bench(store, Sink(receiver.url))
    await bench.begin()
    monkeypatch.setattr(forward, "SEND_SECONDS", 0.2)
    receiver.answers = [hang]
    async with bench.running():
        await bench.send("a")
        await bench.until(lambda place: place == 1)
    over.set()
    assert len(receiver.got) > 1


async def test_another_process_goes_on_where_the_last_one_was(url: str, receiver: Receiver) -> None:
    for names in (["a", "b"], ["c"]):
        async with running(url) as store:
            bench = Bench(store, Sink(receiver.url))
            bench.sender.replica = names[0]
            if names == ["a", "b"]:
                await bench.begin()
            await bench.send(*names)
            wanted = 2 if names == ["a", "b"] else 3
            async with bench.running():
                await bench.until(lambda place, wanted=wanted: place == wanted)
    assert requests(receiver.got) == ["a", "b", "c"]


async def test_a_batch_that_is_too_large_is_halved_and_a_record_that_is_too_large_left_out(
    store: Store, receiver: Receiver
) -> None:
    taken: list[Got] = []

    async def small(got: Got) -> web.Response:
        receiver.answers.append(small)
        if len(got.body) > 4_000:
            return web.Response(status=413)
        taken.append(got)
        return web.Response(status=204)

    bench = Bench(store, Sink(receiver.url))
    await bench.begin()
    receiver.answers = [small]
    await bench.send(*(str(n) for n in range(10)))
    await bench.send("large", inputs={"x": ["y" * 5_000]})
    await bench.send("last")
    async with bench.running():
        await bench.until(lambda place: place == 12)
    assert requests(taken) == [*(str(n) for n in range(10)), "last"]
    assert bench.counted("refused_records_total") == 1


async def test_the_token_is_read_anew_each_time(store: Store, receiver: Receiver, tmp_path: Path) -> None:
    bench = Bench(store, Sink(receiver.url, tmp_path / "token"))
    await bench.begin()
    (tmp_path / "token").write_text("one")
    async with bench.running():
        await bench.send("a")
        await bench.until(lambda place: place == 1)
        (tmp_path / "token").write_text("two\n")
        await bench.send("b")
        await bench.until(lambda place: place == 2)
    assert [got.headers["authorization"] for got in receiver.got] == ["Bearer one", "Bearer two"]


async def test_what_is_deleted_before_it_was_sent_is_counted(store: Store, clock: Clock, receiver: Receiver) -> None:
    bench = Bench(store, Sink(receiver.url))
    await bench.begin()
    store.before_deleting(bench.forwarder.expire)
    await bench.send("old", "older")
    await bench.send("new", at=NOON + 2 * 86_400)
    clock.now = NOON + 2 * 86_400
    await store.clean()
    assert bench.counted("unsent_records_total") == 2
    async with bench.running():
        await bench.until(lambda place: place == 3)
    assert requests(receiver.got) == ["new"]


async def test_what_comes_when_all_records_have_been_deleted_is_sent(store: Store, receiver: Receiver) -> None:
    bench = Bench(store, Sink(receiver.url))
    await bench.begin()
    async with bench.running():
        await bench.send("a", "b")
        await bench.until(lambda place: place == 2)
        async with store.writing() as connection:
            await connection.execute(delete(records))
        await bench.send("c")
        await bench.until(lambda place: place == 3)
    assert requests(receiver.got) == ["a", "b", "c"]
