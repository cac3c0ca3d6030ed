"""Numbers from the web: only from where the operator's settings allow, and only if they are numbers."""

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from somewhere import Somewhere

from operators.api import WebQuery
from operators.ports import NotMeasured
from operators.providers import http, web
from operators.providers.web import Web, at


@pytest.fixture
async def anywhere() -> AsyncIterator[Web]:
    """As on one's own machine."""
    async with Web(["*"], guarded=False) as port:
        yield port


async def problem(port: Web, url: str, pointer: str = "/score") -> str:
    """Why there is no value."""
    with pytest.raises(NotMeasured) as raised:
        await port.value(WebQuery(url=url, value=pointer))
    return str(raised.value)


@pytest.mark.parametrize(
    ("document", "pointer", "value"),
    [
        ({"score": 0.97}, "/score", 0.97),
        ({"data": [{"score": 1}, {"score": -2}]}, "/data/1/score", -2.0),
        (7, "", 7.0),
        ({"a/b": {"m~n": 3}}, "/a~1b/m~0n", 3.0),
        ({"": 4}, "/", 4.0),
        ({"0": 5}, "/0", 5.0),
    ],
    ids=str,
)
async def test_the_number_that_the_pointer_names_is_the_value(
    anywhere: Web, somewhere: Somewhere, document: Any, pointer: str, value: float
) -> None:
    somewhere.content = json.dumps(document)
    assert await anywhere.value(WebQuery(url=f"{somewhere.url}/a?b=c%20d", value=pointer)) == value
    (asked,) = somewhere.asked
    assert (asked.method, asked.path_qs) == ("GET", "/a?b=c%20d")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"score": true}', "is no number"),
        ('{"score": "0.97"}', "is no number"),
        ('{"score": null}', "is no number"),
        ('{"score": {}}', "is no number"),
        ('{"score": NaN}', "is not JSON"),
        ('{"score": 1e999}', "is not JSON"),
        ('{"other": 1}', "nothing at /score"),
        ("[1]", "nothing at /score"),
        ("3", "nothing at /score"),
        ("<html>", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b'{"score": "\xff"}', "is not JSON"),
        (b" " * (http.LARGEST + 1), "more than 1 MiB"),
    ],
    ids=lambda content: str(content)[:20],
)
async def test_what_is_no_number_says_what_it_is(
    anywhere: Web, somewhere: Somewhere, content: bytes | str, said: str
) -> None:
    somewhere.content = content
    assert said in await problem(anywhere, somewhere.url)


async def test_only_200_is_an_answer_and_nobody_is_followed_elsewhere(anywhere: Web, somewhere: Somewhere) -> None:
    somewhere.content, somewhere.headers = '{"score": 1}', {"location": "/elsewhere"}
    for status in (201, 302, 404, 500):
        somewhere.status = status
        assert f"127.0.0.1 answered {status}" in await problem(anywhere, somewhere.url)
    assert len(somewhere.asked) == 4


async def test_an_answer_that_was_compressed_unasked_is_not_unpacked(anywhere: Web, somewhere: Somewhere) -> None:
    somewhere.content, somewhere.headers = gzip.compress(b'{"score": 1}'), {"content-encoding": "gzip"}
    assert "is not JSON" in await problem(anywhere, somewhere.url)
    assert somewhere.asked[0].headers["accept-encoding"] == "identity"


async def test_cookies_are_not_kept(anywhere: Web, somewhere: Somewhere) -> None:
    somewhere.content, somewhere.headers = '{"score": 1}', {"set-cookie": "session=1"}
    for _ in range(2):
        await anywhere.value(WebQuery(url=somewhere.url.replace("127.0.0.1", "localhost"), value="/score"))
    assert all("cookie" not in asked.headers for asked in somewhere.asked)


async def test_whoever_does_not_answer_is_given_up(somewhere: Somewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.05)
    somewhere.hangs = True
    async with Web(["*"], guarded=False) as port:
        assert "did not answer within" in await problem(port, somewhere.url)


async def test_an_answer_that_drips_is_given_up(somewhere: Somewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.5)
    somewhere.content, somewhere.drips = " ", True
    async with Web(["*"], guarded=False) as port, asyncio.timeout(60):
        assert "did not answer within 0.5 seconds" in await problem(port, somewhere.url)
        await somewhere.left.wait()


async def test_an_endless_answer_is_given_up_when_it_is_too_large(anywhere: Web, somewhere: Somewhere) -> None:
    somewhere.content, somewhere.streams = b" " * 65_536, True
    async with asyncio.timeout(60):
        assert "more than 1 MiB" in await problem(anywhere, somewhere.url)
        await somewhere.left.wait()


async def test_a_password_in_an_address_is_refused_and_not_repeated(anywhere: Web) -> None:
    for url in ("http://user:hush@a.example/", "http://user:hush@[::1/"):
        assert "hush" not in await problem(anywhere, url)


async def test_whoever_cannot_be_reached_or_found_is_named(anywhere: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert "127.0.0.1 cannot be reached: " in await problem(anywhere, url)

    def unknown(*_: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = await problem(anywhere, "http://nowhere.invalid/")
    assert said == "nowhere.invalid cannot be reached: Name or service not known"


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "file:///etc/passwd", "http://", "http:///x", "http://user:word@a.example/", "http://[::1"],
)
async def test_what_is_no_address_of_the_web_is_refused(anywhere: Web, url: str) -> None:
    with pytest.raises(NotMeasured, match=r"is no address|is not asked"):
        await anywhere.value(WebQuery.model_construct(url=url, value=""))


@pytest.mark.parametrize(
    ("patterns", "host", "asked"),
    [
        ([], "a.example", False),
        (["a.example"], "a.example", True),
        (["a.example"], "A.Example.", True),
        (["a.example"], "b.a.example", False),
        (["a.example"], "a.example.evil", False),
        (["*.example"], "a.b.example", True),
        (["*.example"], "example", False),
        (["*.example"], "badexample", False),
        (["*"], "a.example", True),
    ],
    ids=str,
)
async def test_only_hosts_of_the_settings_are_asked(
    somewhere: Somewhere, monkeypatch: pytest.MonkeyPatch, patterns: list[str], host: str, asked: bool
) -> None:
    names_mean(monkeypatch, "127.0.0.1")
    somewhere.content = '{"score": 1}'
    async with Web(patterns, guarded=False) as port:
        url = f"http://{host}:{somewhere.port}/"
        if asked:
            assert await port.value(WebQuery(url=url, value="/score")) == 1
        else:
            assert "TIDEGATE_WEB_METRIC_HOSTS does not name it" in await problem(port, url)
    assert len(somewhere.asked) == asked


def names_mean(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name stand for these addresses, one after another at each look; the names that were looked up."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def look(host: str, port: int, family: int = 0, kind: int = 0, protocol: int = 0, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, family, kind, protocol, flags)
        looked_up.append(host)
        address = addresses[min(len(looked_up), len(addresses)) - 1]
        return real(address, port, 0, kind, protocol, socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return looked_up


PRIVATE = ["10.1.2.3", "192.168.1.1", "172.16.0.1", "100.64.0.1", "::ffff:10.0.0.1", "fd12::1", "fec0::1", "::7f00:1"]
NEVER = [
    *("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    *("169.254.169.254", "169.254.170.2", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("0.0.0.0", "::", "224.0.0.1", "ff02::1"),
    *("100.100.100.200", "168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
]


@pytest.mark.parametrize("address", PRIVATE + NEVER)
async def test_a_host_that_only_the_star_fits_is_not_asked_at_an_address_that_is_not_public(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    names_mean(monkeypatch, address)
    literal = f"[{address}]" if ":" in address else address
    reason = "asks nobody at" if address in NEVER else "which is not public, unless the host is named"
    async with Web(["*"]) as port:
        for host in ("a.example", literal):
            assert reason in await problem(port, f"http://{host}:8080/")


@pytest.mark.parametrize("address", NEVER)
async def test_a_host_that_is_named_is_not_asked_where_no_other_machine_is_nor_where_clouds_keep_credentials(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    names_mean(monkeypatch, address)
    async with Web(["a.example", "*.b.example"]) as port:
        for host in ("a.example", "x.b.example"):
            assert "the operator asks nobody at" in await problem(port, f"http://{host}:8080/")


async def test_a_host_that_is_named_may_be_at_a_private_address(
    monkeypatch: pytest.MonkeyPatch, somewhere: Somewhere
) -> None:
    names_mean(monkeypatch, "10.1.2.3")
    led_to_somewhere(monkeypatch, "10.1.2.3")
    somewhere.content = '{"score": 1}'
    async with Web(["a.example", "*"]) as port:
        assert await port.value(WebQuery(url=f"http://a.example:{somewhere.port}/", value="/score")) == 1
        assert "not public" in await problem(port, f"http://b.example:{somewhere.port}/")


async def test_a_host_that_only_the_star_fits_is_asked_at_a_public_address(
    monkeypatch: pytest.MonkeyPatch, somewhere: Somewhere
) -> None:
    names_mean(monkeypatch, "93.184.215.14")
    led_to_somewhere(monkeypatch, "93.184.215.14")
    somewhere.content = '{"score": 1}'
    async with Web(["*"]) as port:
        assert await port.value(WebQuery(url=f"http://a.example:{somewhere.port}/", value="/score")) == 1


def led_to_somewhere(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let connections to the address, once they are allowed, end on this machine."""
    real = asyncio.get_running_loop().sock_connect

    async def connect(sock: socket.socket, to: Any) -> None:
        assert to[0] == address
        await real(sock, ("127.0.0.1", to[1]))

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)


async def test_a_name_that_comes_to_mean_another_address_is_looked_at_where_it_leads(
    monkeypatch: pytest.MonkeyPatch, somewhere: Somewhere
) -> None:
    looked_up = names_mean(monkeypatch, "203.0.113.7", "127.0.0.1")
    monkeypatch.setattr(web, "_is_public", lambda address: str(address) == "203.0.113.7")
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.2)
    async with Web(["*"]) as port:
        await problem(port, f"http://a.example:{somewhere.port}/")
        assert "asks nobody at 127.0.0.1" in await problem(port, f"http://a.example:{somewhere.port}/")
    assert looked_up == ["a.example", "a.example"]
    assert somewhere.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "[::ffff:7f00:1]"])
async def test_other_spellings_of_ones_own_address_are_no_way_around(somewhere: Somewhere, host: str) -> None:
    async with Web(["*"]) as port:
        await problem(port, f"http://{host}:{somewhere.port}/")
    assert somewhere.asked == []


async def test_a_name_server_that_hangs_keeps_no_other_threads_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, began, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hang(*_: object) -> Any:
        loop.call_soon_threadsafe(began.set)
        release.wait(120)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with Web(["*"]) as port:
        asking = [asyncio.ensure_future(problem(port, f"http://a{number}.example/")) for number in range(40)]
        try:
            async with asyncio.timeout(60):
                await began.wait()
                assert await asyncio.to_thread(lambda: "free") == "free"
        finally:
            release.set()
        answers = await asyncio.gather(*asking)
    assert all("cannot be reached" in said or "did not answer" in said for said in answers)


@pytest.mark.parametrize(
    "pointer", ["/a/-", "/a/3", "/a/00", "/a/01", "/a/-1", "/a/x", "/b", "/a/0/0", "/a/9999999999999999999999", "/a~1"]
)
def test_a_pointer_to_nothing_names_nothing(pointer: str) -> None:
    with pytest.raises(NotMeasured, match="nothing at"):
        at({"a": [1, 2, 3]}, pointer)
