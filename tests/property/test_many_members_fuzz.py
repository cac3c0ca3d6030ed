"""Whatever stands in a URL or a call: a member of the catalogue is asked, or the request is refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from serving.errors import RequestError
from serving.exchange import Exchange
from serving.many import Bounds, Budget, Catalogue, Fleet, Members, Tally
from serving.many.catalogue import Member
from serving.protocol.v2_grpc_frames import SERVICE_PATH
from serving.spec import ModelSource

NAMES = ("a", "m1", "m.1", "m~-_")
PLACES = (
    "/v2/models/",
    "/v1/models/",
    "/api/v1/models/",
    "fleet",
    "fleet.",
    ".",
    "/",
    ":",
    "%",
    "%2E",
    "%00",
    "?",
    "//",
)
QUESTIONS = ("infer", "predict", ":predict", "/ready", "/versions/", "v1", "members", "\u00e4")
PARTS = st.sampled_from((*PLACES, *QUESTIONS, *NAMES))
URLS = st.lists(PARTS, max_size=8).map("".join).map(str.encode) | st.binary(max_size=64)


class Loads(Catalogue):
    """Notes what is to be loaded; nothing ever is."""

    def __init__(self) -> None:
        members = {name: Member(Path("/fleet", name), 1) for name in NAMES}
        super().__init__(ModelSource("file:///fleet", "sklearn"), members, "fleet")


class Client:
    """Takes answers."""

    def __init__(self) -> None:
        self.status: int | None = None

    def finish(self, exchange: Exchange, status: int, body: bytes, headers: bytes) -> None:
        self.status = status


class Waiting(Members):
    """One that never begins to load."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        fleet = Fleet(Loads(), Budget(1 << 20))
        super().__init__("v1", fleet, Bounds(8, 1 << 30, 100), loop, tally=Tally(None), draining=lambda: False)
        self._loader.ask = lambda name: None  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def members() -> Any:
    loop = asyncio.new_event_loop()
    found = Waiting(loop)
    yield found
    found.close()
    loop.close()


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([b"GET", b"POST", b"HEAD", b"DELETE"]), URLS, st.binary(max_size=40))
@example(b"POST", b"/v2/models/fleet.m1/infer", b"")
@example(b"POST", SERVICE_PATH + b"ModelInfer", b"\0\0\0\0\x0a\x0a\x08fleet.m1")
@example(b"POST", SERVICE_PATH + b"ModelReady", b"\0\0\0\0\x03\x0a\x08f")
@example(b"GET", b"/v2/models/fleet.%C3%A4/ready", b"")
def test_a_member_is_waited_for_or_the_request_is_answered(
    members: Members, method: bytes, url: bytes, body: bytes
) -> None:
    client = Client()
    exchange = Exchange(client, method=method, url=url, request_id=b"1", body=body, closes=False)
    try:
        members.handle(exchange)
    except RequestError as error:
        exchange.fail(error)
    if client.status is None:
        assert exchange.member in NAMES
        assert exchange.cancel is not None
        exchange.cancel()
    else:
        assert client.status == 200 or 400 <= client.status < 500
    assert members.waiting == 0
