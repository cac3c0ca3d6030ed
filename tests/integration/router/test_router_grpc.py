"""The Open Inference Protocol over gRPC through a real Envoy: what REST promises, this keeps."""

import asyncio
import http.client
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from benchmarks.peers.contenders import KSERVE, MLSERVER, Contender
from benchmarks.peers.environments import ensure
from router.ir import Condition, Cookie, Mirror, Retry, Selection
from router.split import choose
from router.translate import grpc as translated
from serving.protocol import v2_grpc_messages as messages
from serving.protocol.v2_grpc_frames import frame
from tests.integration.router.grpcclient import (
    SERVICE,
    Start,
    Sums,
    connect,
    failure_of,
    infer,
    replicas,
    request,
    route,
    sums,
    versions,
)
from tests.unit.serving.collectorkit import Monitor

ROWS = [[1.0, 2.0]]
PROTOCOL = Path(messages.__file__).parent
CLIENTS = Path(__file__).with_name("clients")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def replica() -> Iterator[Start]:
    with replicas() as start:
        yield start


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    found = Monitor()
    yield found
    found.shutdown()
    found.server_close()


async def fails(call: Any) -> tuple[str, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return failure_of(caught.value)


# conformance


async def run(python: Path | str, script: str, *arguments: object) -> None:
    """Run one of the programs in `clients`, which says "done" when everything was as it should be."""
    command = [python, CLIENTS / script, *map(str, arguments)]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["done"]), done.stderr


@pytest.mark.parametrize(("client", "peer"), [("triton", MLSERVER), ("kserve", KSERVE)])
async def test_clients_of_others_find_every_method(stack: Any, replica: Start, client: str, peer: Contender) -> None:
    python = await asyncio.to_thread(ensure, peer.packages)
    await stack.publish(
        route("one", ("v1", 10_000, [replica("one", "v1")])), route("two", ("v2", 10_000, [replica("two", "v2")]))
    )
    await run(python, f"{client}_calls.py", stack.listen.port)


async def test_stubs_generated_from_the_proto_file_find_every_method(
    stack: Any, replica: Start, tmp_path: Path
) -> None:
    await stack.publish(route("one", ("v1", 10_000, [replica("one", "v1")])))
    outputs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTOCOL), *outputs, "v2_grpc.proto"]
    await asyncio.to_thread(subprocess.run, protoc, check=True)
    await run(sys.executable, "stub_calls.py", tmp_path, stack.listen.port)


@pytest.mark.parametrize(
    ("module", "peer"),
    [
        ("tritonclient.grpc.service_pb2", MLSERVER),
        ("mlserver.grpc.dataplane_pb2", MLSERVER),
        ("kserve.protocol.grpc.grpc_predict_v2_pb2", KSERVE),
    ],
)
async def test_other_copies_of_the_protocol_live_in_the_same_process_and_say_the_same(
    module: str, peer: Contender
) -> None:
    await run(await asyncio.to_thread(ensure, peer.packages), "same_protocol.py", module)


async def test_an_answer_carries_version_request_id_and_id(stack: Any, replica: Start) -> None:
    await stack.publish(route("one", ("v1", 10_000, [replica("one", "v1")])))
    async with connect(stack.listen.port) as channel:
        call = infer(channel)(request(ROWS, id="mine"), metadata=[("x-request-id", "request-7")])
        answer = await call
        metadata = dict(await call.initial_metadata())
        assert (answer.id, answer.model_name, answer.model_version) == ("mine", "one", "v1")
        assert (metadata["tidegate-version"], metadata["x-request-id"]) == ("v1", "request-7")
        call = infer(channel)(request(ROWS))
        await call
        assert dict(await call.initial_metadata())["x-request-id"]


async def test_models_are_told_apart_by_header_by_message_and_by_host(stack: Any, replica: Start) -> None:
    await stack.publish(
        route("one", ("v1", 10_000, [replica("one", "v1")])),
        route("two", ("v2", 10_000, [replica("two", "v2")])),
        route("alone", ("v3", 10_000, [replica("alone", "v3")]), hosts=("alone.test",)),
    )

    async def version(model: str, metadata: list[tuple[str, str]], authority: str = "localhost") -> str:
        async with connect(stack.listen.port, **{"grpc.default_authority": authority}) as channel:
            return str((await infer(channel)(request(ROWS, model), metadata=metadata)).model_version)

    assert await version("one", []) == "v1"
    assert await version("two", []) == "v2"
    assert await version("", [("tidegate-model", "two")]) == "v2"
    assert await version("alone", [], "alone.test") == "v3"
    assert (await fails(version("alone", [])))[0] == "NOT_FOUND"
    assert (await fails(version("one", [("tidegate-model", "two")])))[0] == "NOT_FOUND"
    assert (await fails(version("", [])))[0] == "NOT_FOUND"


# the same split, copies, records


@pytest.mark.parametrize("named", [True, False], ids=["header", "message"])
async def test_every_key_lands_where_foretold(stack: Any, replica: Start, named: bool) -> None:
    new, old = replica("one", "new"), replica("one", "old")
    sticky = route("one", ("new", 2_500, [new]), ("old", 7_500, [old]), sticky_header="x-user-id")
    await stack.publish(sticky, route("two", ("v", 10_000, [replica("two", "v")])))
    keys = [f"user-{number}" for number in range(2_000)]
    got = await versions(stack.listen.port, "x-user-id", keys, "one", named=named)
    assert got == [choose(sticky, key) for key in keys]
    by_request = route("one", ("new", 5_000, [new]), ("old", 5_000, [old]))
    await stack.publish(by_request, route("two", ("v", 10_000, [replica("two", "v")])))
    got = await versions(stack.listen.port, "x-request-id", keys, "one", named=named)
    assert got == [choose(by_request, key) for key in keys]


async def test_copies_are_recorded_with_the_values_of_the_calls(stack: Any, replica: Start, monitor: Monitor) -> None:
    stable = replica("one", "old", records=monitor.url)
    shadow = replica("one", "new", records=monitor.url)
    mirrored = route("one", ("new", 0, [shadow]), ("old", 10_000, [stable]), mirror=Mirror("new", 10_000))
    await stack.publish(mirrored, route("two", ("v", 10_000, [replica("two", "v")])))
    ids = [f"request-{number}" for number in range(50)]
    async with connect(stack.listen.port) as channel:
        for number, identity in enumerate(ids):
            answer = await infer(channel)(request([[number, 1.0]], "one"), metadata=[("x-request-id", identity)])
            assert sums(answer) == [number + 1.0]
    await asyncio.to_thread(monitor.wait_for, lambda: len(monitor.records) == 100)
    for copies in (False, True):
        found = {record["id"]: record for record in monitor.records if record["mirrored"] == copies}
        assert [*sorted(found)] == sorted(ids)
        for number, identity in enumerate(ids):
            assert found[identity]["status"] == 200
            assert found[identity]["inputs"] == {"0": [number], "1": [1.0]}
            assert found[identity]["outputs"] == {"sum": [number + 1.0]}


@pytest.mark.parametrize("named", [True, False], ids=["header", "message"])
async def test_exposures_by_cookie_are_recorded(stack: Any, replica: Start, monitor: Monitor, named: bool) -> None:
    server = replica("one", "v", records=monitor.url)
    sticky = route("one", ("v", 10_000, [server]), sticky_cookie=Cookie("who", 60), exposures=True)
    await stack.publish(sticky, route("two", ("v", 10_000, [replica("two", "v")])))
    hint = [("tidegate-model", "one")] if named else []
    async with connect(stack.listen.port) as channel:
        await infer(channel)(request(ROWS, "one"), metadata=[("cookie", "a=b; who=me"), *hint])
    await asyncio.to_thread(monitor.wait_for, lambda: bool(monitor.records))
    (record,) = monitor.records
    assert (record["key"], record["share"]) == ("me", 10_000)


async def test_questions_that_are_no_inference_are_not_recorded(stack: Any, replica: Start, monitor: Monitor) -> None:
    await stack.publish(route("one", ("v", 10_000, [replica("one", "v", records=monitor.url)])))
    async with connect(stack.listen.port) as channel:
        assert (await infer(channel, "ModelReady")(messages.ModelReadyRequest(name="one"))).ready
        await infer(channel)(request(ROWS), metadata=[("x-request-id", "asked")])
    await asyncio.to_thread(monitor.wait_for, lambda: bool(monitor.records))
    assert [record["id"] for record in monitor.records] == ["asked"]


@pytest.mark.parametrize("named", [True, False], ids=["header", "message"])
async def test_calls_are_selected_by_their_metadata(stack: Any, replica: Start, named: bool) -> None:
    selecting = route(
        "one",
        ("new", 0, [replica("one", "new")]),
        ("old", 10_000, [replica("one", "old")]),
        selection=Selection("new", ((Condition(header="x-beta", values=("1",)),),)),
    )
    await stack.publish(selecting, route("two", ("v", 10_000, [replica("two", "v")])))
    assert await versions(stack.listen.port, "x-beta", ["1", "2"], "one", named=named) == ["new", "old"]


# the same safety


async def test_a_killed_replica_loses_no_call(stack: Any, replica: Start) -> None:
    doomed, lives = replica("one", "v"), replica("one", "v")
    await stack.publish(
        route("one", ("v", 10_000, [doomed, lives])), route("two", ("v", 10_000, [replica("two", "v")]))
    )
    answered = 0
    async with connect(stack.listen.port) as channel:
        ask = infer(channel)

        async def keep_asking() -> None:
            nonlocal answered
            while lives.stats().requests < 1_500:
                assert sums(await ask(request(ROWS, "one"), timeout=30)) == [3.0]
                answered += 1
                if answered == 300:
                    await asyncio.to_thread(doomed.stop)

        await asyncio.gather(*(keep_asking() for _ in range(16)))
    assert answered >= 1_500
    assert doomed.stats().requests > 0


async def test_a_full_replica_is_tried_again_and_failures_are_counted_as_those_of_rest(
    stack: Any, upstream: Any, make_route: Any
) -> None:
    good = frame(messages.ModelInferResponse(model_version="v").SerializeToString())

    async def full_at_first(found: Any) -> bytes:
        if len(found.heads) in (1, 3, 4):
            headers = "content-type: application/grpc\r\ngrpc-status: 14\r\ngrpc-message: full\r\n"
            return bytes(found.reply("503 Full", b"", headers))
        return bytes(found.reply("200 OK", good, "content-type: application/grpc\r\n"))

    found = await upstream("v", answer=full_at_first)
    await stack.publish(make_route("m", (found, 10_000), retry=Retry(attempts=1)))
    async with connect(stack.listen.port) as channel:
        assert (await infer(channel)(request(ROWS))).model_version == "v"
        assert len(found.heads) == 2
        assert (await fails(infer(channel)(request(ROWS))))[:2] == ("UNAVAILABLE", "full")

    async def counted() -> tuple[int, int]:
        (counters,) = (await stack.router.traffic()).values()
        return counters.requests, counters.errors

    for _ in range(500):
        if await counted() == (2, 1):
            break
        await asyncio.sleep(0.01)
    assert await counted() == (2, 1)


async def test_every_failure_has_its_status_its_code_and_a_request_id(stack: Any, replica: Start) -> None:
    slow = Sums()
    await stack.publish(
        route("one", ("v", 10_000, [replica("one", "v", max_body_bytes=50_000)]), max_body_bytes=50_000),
        route("slow", ("v", 10_000, [replica("slow", "v", slow)]), timeout_seconds=0.2),
        route("unready", ("v", 0, [])),
        route("gone", ("v", 10_000, [])),
    )
    slow.gate.clear()
    async with connect(stack.listen.port) as channel:
        ask = infer(channel)
        zipped = {"compression": grpc.Compression.Gzip}
        for call, status, code, text in (
            (ask(request(ROWS, "nothing")), "NOT_FOUND", "not_found", "no model of that name"),
            (ask(request(ROWS, "one", model_version="w")), "NOT_FOUND", "unknown_version", 'this is "v"'),
            (ask(request([[1.0]], "one")), "INVALID_ARGUMENT", "invalid_shape", "the model takes [rows, 2]"),
            (ask(request([[-1.0, 0.0]], "one")), "INTERNAL", "model_error", "row begins with -1"),
            (ask(request([[0.0, 0.0]] * 4_000, "one")), "RESOURCE_EXHAUSTED", "body_too_large", "larger"),
            (ask(request(ROWS, "slow")), "DEADLINE_EXCEEDED", "timeout", "did not answer in time"),
            (ask(request(ROWS, "unready")), "UNAVAILABLE", "model_not_ready", "no version of the model is ready"),
            (ask(request(ROWS, "gone")), "UNAVAILABLE", "no_healthy_replica", "no replica"),
            (ask(request(ROWS, "one"), **zipped), "UNIMPLEMENTED", "not_implemented", "compressed"),
            (infer(channel, "ModelStreamInfer")(request(ROWS)), "UNIMPLEMENTED", "not_implemented", "streamed"),
            (infer(channel, "ModelForget")(request(ROWS)), "NOT_FOUND", "not_found", "no model of that name"),
        ):
            found, message, metadata = await fails(call)
            assert (found, metadata["tidegate-code"]) == (status, code)
            assert text in message
            assert metadata["x-request-id"]
        hinted = [("tidegate-model", "one")]
        found, message, _ = await fails(infer(channel, "ModelForget")(request(ROWS), metadata=hinted))
        assert (found, message) == ("UNIMPLEMENTED", "there is no method 'ModelForget' here")
        found, _, metadata = await fails(ask(request([[0.0, 0.0]] * 4_000), metadata=hinted))
        assert (found, metadata["tidegate-code"]) == ("RESOURCE_EXHAUSTED", "body_too_large")
    slow.gate.set()


@pytest.mark.parametrize(
    "metadata",
    [[("a_b", "x")], [("long", "x" * 40_000)], [(f"name-{number}", "x") for number in range(120)]],
    ids=["underscore", "long", "many"],
)
async def test_metadata_that_headers_may_not_be_end_the_call_and_no_other(
    stack: Any, replica: Start, metadata: list[tuple[str, str]]
) -> None:
    await stack.publish(route("one", ("v", 10_000, [replica("one", "v")])))
    async with connect(stack.listen.port) as channel:
        assert (await fails(infer(channel)(request(ROWS), metadata=metadata)))[0] == "INTERNAL"
        assert sums(await infer(channel)(request(ROWS))) == [3.0]


async def test_a_router_that_knows_no_routes_yet_is_unavailable(stack: Any) -> None:
    async with connect(stack.listen.port) as channel:
        found, message, metadata = await fails(infer(channel)(request(ROWS, "one")))
    assert (found, metadata["tidegate-code"]) == ("UNAVAILABLE", "starting")
    assert "has not been told yet" in message


async def test_a_caller_that_gives_up_leaves_nothing_behind(stack: Any, replica: Start) -> None:
    slow = Sums()
    server = replica("one", "v", slow)
    await stack.publish(route("one", ("v", 10_000, [server]), timeout_seconds=30.0))
    slow.gate.clear()
    async with connect(stack.listen.port) as channel:
        calls = [asyncio.create_task(fails(infer(channel)(request(ROWS), timeout=1))) for _ in range(8)]
        assert {(await call)[0] for call in calls} == {"DEADLINE_EXCEEDED"}
        await stack.until(lambda: server.stats().in_flight == 0, "the end of abandoned calls")
        slow.gate.set()
        assert sums(await infer(channel)(request(ROWS), timeout=30)) == [3.0]


# what is no call


def post(port: int, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    """The headers that answer these bytes, sent over HTTP/1.1: no client of gRPC's sends such things."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", f"{SERVICE}ModelInfer", body, {"content-type": "application/grpc", **headers})
        return dict(connection.getresponse().getheaders())
    finally:
        connection.close()


async def test_broken_calls_harm_neither_envoy_nor_replica(stack: Any, replica: Start) -> None:
    server = replica("one", "v")
    await stack.publish(route("one", ("v", 10_000, [server])), route("two", ("v", 10_000, [replica("two", "v")])))
    before = stack.envoy.pid
    sound = frame(request([[1.0, 2.0]] * 20, "one").SerializeToString())
    draw = random.Random(7)

    def broken() -> bytes:
        content = bytearray(sound[: draw.randrange(6, len(sound))])
        for _ in range(draw.randrange(1, 5)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.7:
            content[:5] = frame(bytes(content[5:]))[:5]
        return bytes(content)

    def send() -> set[str]:
        hints: tuple[dict[str, str], ...] = ({}, {"tidegate-model": "one"})
        return {post(stack.listen.port, broken(), hint).get("grpc-status", "0") for _ in range(200) for hint in hints}

    assert await asyncio.to_thread(send) <= {"0", "3", "5", "12"}
    assert stack.envoy.pid == before
    async with connect(stack.listen.port) as channel:
        assert sums(await infer(channel)(request(ROWS, "one"))) == [3.0]


async def test_a_call_without_a_message_is_not_waited_for_long(
    stack: Any, replica: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translated, "MESSAGE_SECONDS", 0.5)
    server = replica("one", "v")
    await stack.publish(route("one", ("v", 10_000, [server])), route("two", ("v", 10_000, [replica("two", "v")])))
    answer = await asyncio.to_thread(post, stack.listen.port, b"", {})
    assert answer["grpc-status"] == "4"
    answer = await asyncio.to_thread(post, stack.listen.port, b"", {"tidegate-model": "one"})
    assert (answer["grpc-status"], answer["tidegate-code"]) == ("3", "invalid_frame")


async def test_other_requests_for_the_paths_of_calls_find_nothing(stack: Any, replica: Start) -> None:
    await stack.publish(route("one", ("v", 10_000, [replica("one", "v")])))
    for headers in ({}, {"content-type": "application/json"}, {"content-type": "application/grpc-web+proto"}):
        answer = await stack.ask(f"{SERVICE}ModelInfer", b"{}", headers)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
