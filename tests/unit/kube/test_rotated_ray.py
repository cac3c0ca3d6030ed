"""The token of Ray's API, which may be replaced while the operator runs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from operators.kube.ray import RotatedRay
from operators.ports import ServeUnavailable

ANSWER = Path(__file__).parents[1] / "ray" / "answers" / "idle.json"


class Head:
    """A Ray head that takes one token."""

    def __init__(self) -> None:
        self.token = "first"
        self.refused = 0
        self.url = ""

    async def details(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            self.refused += 1
            return web.Response(status=401)
        return web.json_response(json.loads(ANSWER.read_text()))


@pytest.fixture
async def head() -> AsyncIterator[Head]:
    found = Head()
    application = web.Application()
    application.router.add_get("/api/serve/applications/", found.details)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def replace(token: Path, content: str | None) -> None:
    """What the kubelet does when the Secret changes."""
    token.unlink()
    if content is not None:
        token.write_text(content)


async def test_a_replaced_token_is_read_when_the_old_one_is_refused(head: Head, token: Path) -> None:
    ray = RotatedRay(head.url, token)
    assert await ray.observe() == {}
    head.token = "second"
    replace(token, "second\n")
    assert await ray.observe() == {}
    await ray.apply([])
    assert head.refused == 1
    await ray.close()


async def test_a_token_that_was_not_replaced_is_not_tried_again(head: Head, token: Path) -> None:
    ray = RotatedRay(head.url, token)
    head.token = "second"
    with pytest.raises(ServeUnavailable, match="refused the token"):
        await ray.observe()
    assert head.refused == 1
    await ray.close()


async def test_a_token_file_that_is_gone_is_told(head: Head, token: Path) -> None:
    ray = RotatedRay(head.url, token)
    head.token = "second"
    replace(token, None)
    with pytest.raises(ServeUnavailable, match=str(token)):
        await ray.observe()
    await ray.close()


async def test_a_cluster_without_a_token_is_asked_without_one(head: Head) -> None:
    ray = RotatedRay(head.url, None)
    with pytest.raises(ServeUnavailable, match="refused the token"):
        await ray.observe()
    await ray.close()


def test_a_token_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RotatedRay("http://127.0.0.1:1", tmp_path / "nothing")
