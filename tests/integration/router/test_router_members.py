"""Many models behind a real Envoy: every one stays with one replica, unless that is busy or gone."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from router.ir import Mirror, Route
from serving.many import Budget, Catalogue, Fleet
from serving.many.catalogue import Member
from serving.server import ModelServer
from serving.spec import InputSpec, ModelSource
from tests.integration.router.grpcclient import Start, Sums, connect, infer, replicas, request, route, sums
from tests.unit.serving.collectorkit import Monitor

NAMES = [f"m{number:03}" for number in range(60)]
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}).encode()


class Pair(Sums):
    """The same with names for the two values."""

    signature = replace(Sums.signature, features=(InputSpec("a"), InputSpec("b")))


class Made(Catalogue):
    """Members that are made, not loaded; `loads` are their names. All wait at `gate`, which is open."""

    def __init__(self) -> None:
        source = ModelSource("file:///fleet", "sklearn")
        super().__init__(source, {name: Member(Path("/fleet", name), 1) for name in NAMES}, "fleet")
        self.loads: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def load(self, name: str) -> Sums:
        self.loads.append(name)
        model = Pair()
        model.gate = self.gate
        return model


Host = Callable[..., tuple[ModelServer, Made]]


@pytest.fixture
def replica() -> Iterator[Start]:
    with replicas() as start:
        yield start


@pytest.fixture
def host(replica: Start) -> Host:
    """Starts a replica of all members of a version."""

    def host(version: str = "v1", **fields: object) -> tuple[ModelServer, Made]:
        catalogue = Made()
        return replica("fleet", version, Fleet(catalogue, Budget(1 << 30)), **fields), catalogue

    return host


def many(*backends: tuple[str, int, list[ModelServer]], **fields: object) -> Route:
    """The route of a rollout whose versions are many models."""
    plain = route("fleet", *backends, **fields)
    return replace(plain, backends=tuple(replace(backend, members=True) for backend in plain.backends))


async def ask(stack, member: str, path: str = "/v2/models/fleet.{}/infer") -> tuple[int, str]:
    answer = await stack.ask(path.format(member), BODY)
    return answer.status, answer.version


async def test_every_member_stays_with_one_replica_whatever_protocol_names_it(stack, host: Host) -> None:
    one, two = host(), host()
    await stack.publish(many(("v1", 10_000, [one[0], two[0]])))
    for _ in range(3):
        for name in NAMES:
            assert (await ask(stack, name))[0] == 200
    v1 = json.dumps({"instances": [[1, 2]]}).encode()
    async with connect(stack.listen.port) as channel:
        for name in NAMES:
            answer = await stack.ask(f"/v1/models/fleet.{name}:predict?trace=1", v1)
            assert answer.status == 200
            assert (await stack.ask(f"/api/v1/models/fleet.{name}/predict", b'{"a": 1, "b": 2}')).status == 200
            assert (await stack.ask(f"/v2/models/fleet.{name}", None)).status == 200
            assert sums(await infer(channel)(request([[1.0, 2.0]], f"fleet.{name}"), timeout=30)) == [3.0]
            call = infer(channel)(
                request([[1.0, 2.0]], f"fleet.{name}"), metadata=[("tidegate-model", f"fleet.{name}")]
            )
            assert sums(await call) == [3.0]
    loads = Counter(one[1].loads + two[1].loads)
    assert loads == dict.fromkeys(NAMES, 1), "no member is loaded twice"
    assert min(len(one[1].loads), len(two[1].loads)) >= len(NAMES) // 5


async def test_a_member_is_no_other_model_and_other_models_are_no_members(stack, host: Host, replica: Start) -> None:
    one, other = host()[0], replica("fleet2", "v9")
    await stack.publish(many(("v1", 10_000, [one])), route("fleet2", ("v9", 10_000, [other])))
    assert await ask(stack, "m001") == (200, "v1")
    assert await ask(stack, "", "/v2/models/fleet2/infer") == (200, "v9")
    answer = await stack.ask("/v2/models/fleet.m0011/infer", BODY)
    assert (answer.status, answer.error["code"]) == (404, "unknown_model")
    assert "the nearest name is fleet.m0" in answer.error["error"]
    assert (await stack.ask("/v2/models/fleet2.m001/infer", BODY)).status == 404
    listed = await stack.ask("/v2/models/fleet/members", None)
    assert [each["name"] for each in json.loads(listed.body)["members"]] == NAMES
    async with connect(stack.listen.port) as channel:
        for name, version in (("fleet.m002", "v1"), ("fleet2", "v9")):
            call = infer(channel)(request([[1.0, 2.0]], name), timeout=30)
            assert sums(await call) == [3.0]
            assert dict(await call.initial_metadata())["tidegate-version"] == version


async def test_a_hot_member_spreads_over_the_replicas(stack, host: Host) -> None:
    hosts = [host(), host()]
    await stack.publish(many(("v1", 10_000, [server for server, _ in hosts]), timeout_seconds=30.0))
    for _, catalogue in hosts:
        catalogue.gate.clear()

    def in_flight() -> list[int]:
        return [server.stats().in_flight for server, _ in hosts]

    url = f"http://127.0.0.1:{stack.listen.port}/v2/models/fleet.m007/infer"
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(), trust_env=False) as client:
        waiting = []
        for count in range(1, 25):  # one by one: Envoy counts what has reached a replica, not what is on its way
            waiting.append(asyncio.create_task(client.post(url, content=BODY)))
            await stack.until(lambda count=count: sum(in_flight()) == count, f"{count} requests in flight")
        spread = in_flight()
        for _, catalogue in hosts:
            catalogue.gate.set()
        assert min(spread) >= 5, "nobody has more than 150 % of the mean, and a request"
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 24


async def test_the_members_of_a_replica_that_dies_load_elsewhere_and_no_request_is_lost(stack, host: Host) -> None:
    (dying, _), (living, catalogue) = host(), host()
    await stack.publish(many(("v1", 10_000, [dying, living])))
    for name in NAMES:
        assert (await ask(stack, name))[0] == 200
    before = set(catalogue.loads)
    stop = asyncio.Event()
    statuses: Counter[int] = Counter()

    async def load(offset: int) -> None:
        while not stop.is_set():
            for name in NAMES[offset:] + NAMES[:offset]:
                statuses[(await ask(stack, name))[0]] += 1

    async with asyncio.TaskGroup() as group:
        for offset in (0, 20, 40):
            group.create_task(load(offset))
        await stack.until(lambda: statuses[200] > 60, "some answers")
        await asyncio.to_thread(dying.stop)
        at_death = statuses[200]
        await stack.until(lambda: statuses[200] > at_death + 200, "answers after the death")
        stop.set()
    assert set(statuses) == {200}
    assert set(catalogue.loads) == set(NAMES) > before


async def test_versions_are_drawn_and_copied_as_for_one_model(stack, host: Host) -> None:
    (candidate, shadowed), (stable, _) = host("v2"), host("v1")
    split = many(("v2", 3_000, [candidate]), ("v1", 7_000, [stable]), sticky_header="x-user")
    await stack.publish(split)
    drawn: dict[str, set[str]] = {}
    for user in map(str, range(60)):
        for name in ("m001", "m002"):
            answer = await stack.ask(f"/v2/models/fleet.{name}/infer", BODY, {"x-user": user})
            drawn.setdefault(user, set()).add(answer.version)
    assert all(len(versions) == 1 for versions in drawn.values()), "the user decides, and not the member"
    assert 5 <= sum(versions == {"v2"} for versions in drawn.values()) <= 35
    await stack.publish(many(("v2", 0, [candidate]), ("v1", 10_000, [stable]), mirror=Mirror("v2", 10_000)))
    shadowed.loads.clear()
    requests = candidate.stats().requests
    for name in NAMES:
        assert await ask(stack, name) == (200, "v1")
    await stack.until(lambda: candidate.stats().requests >= requests + len(NAMES), "the copies")
    await stack.until(lambda: len(set(shadowed.loads)) >= len(NAMES) - 2, "the loads for copies")


async def test_records_are_those_of_the_rollout(stack, host: Host) -> None:
    monitor = Monitor()
    try:
        server, _ = host(records=monitor.url)
        await stack.publish(many(("v1", 10_000, [server])))
        assert await ask(stack, "m001") == (200, "v1")
        await stack.until(lambda: server.stats().recorded == 1, "the record")
        assert {body["model"] for body in monitor.batches} == {"fleet"}
    finally:
        monitor.shutdown()
        monitor.server_close()
