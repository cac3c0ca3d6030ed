"""What replicas are told of who was exposed to them, on a real Envoy."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from router.ir import Condition, Cookie, Mirror, Paths, Selection
from router.split import choose
from router.translate.headers import OWN_HEADERS
from router.translate.routes import inference_paths, metadata_paths

Start = Callable[..., Awaitable[Any]]
PATH = "/v2/models/m/infer"
FORGED = dict.fromkeys(OWN_HEADERS, "forged")
SELECTION = Selection("candidate", ((Condition(header="x-preview"),), (Condition(feature=("vip",), values=(True,)),)))


def told(head: str) -> tuple[list[str], list[str]]:
    """The values of the key's and of the share's header."""
    lines = [line.partition(": ") for line in head.split("\r\n")]
    key, share = (
        [value for name, _, value in lines if name == wanted] for wanted in ("tidegate-key", "tidegate-share")
    )
    return key, share


@pytest.fixture
async def exposing(stack: Any, upstream: Start, make_route: Any) -> Callable[..., Awaitable[Any]]:
    """Publishes a route of 25 % to 75 % that tells; gives who was told what by one request."""
    upstreams = {version: await upstream(version) for version in ("candidate", "stable")}

    async def ask(
        path: str = PATH, body: bytes | None = b"{}", headers: dict[str, str] | None = None, **fields: Any
    ) -> tuple[str, list[str], list[str]]:
        shares = ((upstreams["candidate"], 2_500), (upstreams["stable"], 7_500))
        await stack.publish(make_route("m", *shares, **{"exposures": True, **fields}))
        answer = await stack.ask(path, body, FORGED | (headers or {}))
        assert answer.status == 200
        return answer.version, *told(upstreams[answer.version].heads[-1])

    return ask


SHARES = {"candidate": ["2500"], "stable": ["7500"]}


@pytest.mark.parametrize("path", inference_paths("m"))
async def test_the_request_id_is_the_key_without_anything_sticky(exposing: Any, path: str) -> None:
    seen = set()
    for number in range(10):
        version, key, share = await exposing(path, headers={"x-request-id": f"id-{number}"})
        assert (key, share) == ([f"id-{number}"], SHARES[version])
        seen.add(version)
    assert seen == {"candidate", "stable"}


async def test_the_sticky_header_is_the_key_and_the_request_id_without_it(exposing: Any) -> None:
    for headers, expected in (
        ({"x-user-id": "ada", "x-request-id": "id"}, "ada"),
        ({"x-user-id": "100% ümlaut".encode().decode("latin-1"), "x-request-id": "id"}, "100% ümlaut"),
        ({"x-request-id": "id"}, "id"),
    ):
        version, key, share = await exposing(headers=headers, sticky_header="x-user-id")
        assert (key[0].encode("latin-1").decode(), share) == (expected, SHARES[version])


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("tidegate=ada", "ada"),
        ('a=\xff; tidegate="a=b%"; c=2', "a=b%"),
        ("tidegate=" + "k" * 3_000, "k" * 3_000),
        ("xtidegate=no", "id"),
        ("tidegate=", "id"),
    ],
)
async def test_the_cookie_is_the_key_and_the_request_id_without_it(exposing: Any, cookie: str, expected: str) -> None:
    sticky = {"sticky_cookie": Cookie("tidegate", 60)}
    version, key, share = await exposing(headers={"cookie": cookie, "x-request-id": "id"}, **sticky)
    assert (key, share) == ([expected], SHARES[version])


async def test_the_key_told_is_the_key_that_decides(exposing: Any, stack: Any) -> None:
    sticky = {"sticky_cookie": Cookie("tidegate", 60)}
    for number in range(10):
        version, key, _ = await exposing(headers={"cookie": f"tidegate=client-{number}"}, **sticky)
        (published,) = stack.router.published().values()
        assert version == choose(published, key[0])


@pytest.mark.parametrize("sticky", [{}, {"sticky_header": "x-user-id"}, {"sticky_cookie": Cookie("tidegate", 60)}])
async def test_selected_requests_have_a_key_and_no_share(exposing: Any, sticky: dict[str, Any]) -> None:
    fields = {"selection": SELECTION, **sticky}
    headers = {"x-request-id": "key", "x-user-id": "key", "cookie": "tidegate=key"}
    assert await exposing(headers={"x-preview": "1", **headers}, **fields) == ("candidate", ["key"], [])
    assert await exposing(body=b'{"vip":true}', headers=headers, **fields) == ("candidate", ["key"], [])


async def test_nothing_is_told_when_it_is_off_nor_about_metadata(exposing: Any) -> None:
    for path in inference_paths("m"):
        assert (await exposing(path, exposures=False))[1:] == ([], [])
    for path in metadata_paths("m"):
        assert (await exposing(path, None))[1:] == ([], [])


@pytest.mark.parametrize("exposures", [True, False])
async def test_copies_expose_nobody(stack: Any, upstream: Start, make_route: Any, exposures: bool) -> None:
    shadow, stable = await upstream("shadow"), await upstream("stable")
    mirror = Mirror("shadow", 10_000)
    await stack.publish(make_route("m", (shadow, 0), (stable, 10_000), mirror=mirror, exposures=exposures))
    await stack.ask(PATH, headers=FORGED)
    await stack.until(lambda: bool(shadow.heads), "the arrival of the copy")
    assert told(shadow.heads[0]) == ([], [])
    assert shadow.heads[0].count("tidegate-mirror: 1\r\n") == 1
    assert bool(told(stable.heads[0])[1]) == exposures


async def test_no_client_says_what_only_the_router_may_say(stack: Any, upstream: Start, make_route: Any) -> None:
    replica, member = await upstream("v"), await upstream("w")
    many = make_route("fleet", (member, 10_000))
    many = replace(many, backends=tuple(replace(backend, members=True) for backend in many.backends))
    await stack.publish(make_route("m", (replica, 10_000), paths=Paths("/predict", "/health")), many)
    posted = (*inference_paths("m"), "/predict", "/v2/models/fleet.a/infer")
    gotten = (*metadata_paths("m"), "/health", "/v2/models/fleet.a", "/v2/models/fleet/members")
    for path in (*posted, *gotten):
        assert (await stack.ask(path, b"{}" if path in posted else None, FORGED)).status == 200
    for model in ("m", "fleet.a"):
        call = {"content-type": "application/grpc", "tidegate-model": model}
        assert (await stack.ask("/inference.GRPCInferenceService/ModelInfer", b"{}", FORGED | call)).status == 200
    heads = [*replica.heads, *member.heads]
    assert len(heads) == len(posted) + len(gotten) + 2
    assert not [head for head in heads if "forged" in head]
