"""Routes and the resources that they become, side by side in `router/`, each acknowledged by a real Envoy."""

import asyncio
import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.json_format import MessageToJson

from router.config import ListenConfig, RouterPaths
from router.envoy import EnvoyProcess
from router.ir import Route
from router.lastgood import route_from_json
from router.service import Router
from router.snapshot import Snapshot, build

FOLDER = Path(__file__).parent / "router"
CASES = sorted(path.name for path in FOLDER.glob("*.json"))


def routes_of(case: str) -> list[Route]:
    return [route_from_json(item) for item in json.loads((FOLDER / case).read_text())]


def resources_of(snapshot: Snapshot) -> str:
    """All resources as YAML, in the order in which they are sent."""
    kinds: tuple[tuple[str, Any, Any], ...] = (
        ("clusters", Cluster, snapshot.clusters),
        ("endpoints", ClusterLoadAssignment, snapshot.endpoints),
        ("listeners", Listener, snapshot.listeners),
        ("routes", RouteConfiguration, snapshot.routes),
    )
    documents = {
        name: [
            json.loads(MessageToJson(kind.FromString(resources.items[item]), preserving_proto_field_name=True))
            for item in sorted(resources.items)
        ]
        for name, kind, resources in kinds
        # The listener is the same for all routes: it stands in the file of the empty fleet.
        if name != "listeners" or not snapshot.source
    }
    return yaml.safe_dump(documents, sort_keys=True, width=120)


@pytest.mark.parametrize("case", CASES)
def test_routes_become_the_expected_resources(case: str, update_golden: bool) -> None:
    expected = (FOLDER / case).with_suffix(".yaml")
    resources = resources_of(build(routes_of(case), ListenConfig(port=8080)))
    if update_golden:
        expected.write_text(resources)
    assert resources == expected.read_text(), "if this is meant to be, run `make golden` and read the difference"


@pytest.mark.parametrize("case", CASES)
def test_a_route_survives_being_written_and_read(case: str) -> None:
    routes = routes_of(case)
    assert [route_from_json(json.loads(json.dumps(asdict(route)))) for route in routes] == routes


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    root = Path(tempfile.mkdtemp(prefix="tidegate-golden-"))  # a Unix socket's path must be short
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = ListenConfig(port=probe.getsockname()[1])
    found, envoy = Router(RouterPaths(root), listen), EnvoyProcess(RouterPaths(root), listen)
    try:
        await found.start()
        await envoy.start()
        await envoy.ready()
        yield found
    finally:
        await envoy.stop()
        await found.stop()
        shutil.rmtree(root)


@pytest.mark.parametrize("case", CASES)
async def test_envoy_acknowledges_the_resources(router: Router, case: str) -> None:
    routes = routes_of(case)
    await router.publish(routes)
    async with asyncio.timeout(20):
        while not all(router.status(route.key).acknowledged for route in routes):
            assert [router.status(route.key).rejected for route in routes] == [None] * len(routes)
            await asyncio.sleep(0.01)
