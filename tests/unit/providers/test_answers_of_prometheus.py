"""What Prometheus, or what stands before it, may answer besides a number. A real one is asked in other tests."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from somewhere import Somewhere

from operators.api import PrometheusQuery
from operators.ports import NotMeasured
from operators.providers import http
from operators.providers.service import Providers, providers
from operators.providers.settings import ProviderSettings

NOW = 1_800_000_000.0
QUERY = PrometheusQuery(query="score")


class Clock:
    def now(self) -> float:
        return NOW


@pytest.fixture
async def metrics(somewhere: Somewhere) -> AsyncIterator[Providers]:
    async with providers(ProviderSettings(f"{somewhere.url}/prefix/"), Clock()) as port:
        yield port


def vector(*samples: dict[str, object], **more: object) -> str:
    """A good answer."""
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": samples}, **more})


def sample(value: str = "0.97", at: float = NOW) -> dict[str, object]:
    return {"metric": {"version": "a"}, "value": [at, value]}


def short(written: object) -> str:
    """A name for a case."""
    return str(written)[:30]


async def problem(metrics: Providers) -> str:
    """Why there is no value."""
    with pytest.raises(NotMeasured) as raised:
        await metrics.measure(QUERY)
    return str(raised.value)


async def test_a_query_is_asked_below_the_address_with_its_path(metrics: Providers, somewhere: Somewhere) -> None:
    somewhere.content = vector(sample(), infos=["a counter should be called total"])
    assert await metrics.measure(QUERY) == 0.97
    (asked,) = somewhere.asked
    assert (asked.method, asked.path) == ("GET", "/prefix/api/v1/query")
    assert dict(asked.query) == {"query": "score", "timeout": "5s"}
    assert "authorization" not in asked.headers


async def test_a_token_is_read_anew_for_every_query(somewhere: Somewhere, tmp_path: Path) -> None:
    token = tmp_path / "token"
    somewhere.content = vector(sample())
    async with providers(ProviderSettings(somewhere.url, token), Clock()) as metrics:
        assert "token for Prometheus at" in await problem(metrics)
        for secret in ("first", "second"):
            token.write_text(f"{secret}\n")
            assert await metrics.measure(QUERY) == 0.97
    assert [asked.headers["authorization"] for asked in somewhere.asked] == ["Bearer first", "Bearer second"]


async def test_the_environments_proxy_and_credentials_have_no_part(
    metrics: Providers, somewhere: Somewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    somewhere.content = vector(sample())
    assert await metrics.measure(QUERY) == 0.97


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (vector(), "gives nothing"),
        (vector(sample(), sample()), "gives 2 series"),
        (vector({"metric": {}, "histogram": [NOW, {"count": "3"}]}), "gives a histogram"),
        (vector(sample("NaN")), "gives NaN"),
        (vector(sample("-Inf")), "gives an infinite number"),
        (vector(sample(at=NOW - 301)), "answered as of 301 seconds ago"),
        (vector(sample(), warnings=["store-3 did not answer"]), "warns: store-3 did not answer"),
        (json.dumps({"status": "success", "data": {"resultType": "string", "result": [NOW, "a"]}}), "gives a string"),
        (json.dumps({"status": "success"}), "gives nothing where one number is needed"),
        (vector(sample("many")), "not as Prometheus does"),
        (json.dumps({"status": "success", "data": {"resultType": "scalar", "result": "2"}}), "not as Prometheus does"),
        ("<html>", "not as Prometheus does"),
        ("[" * 100_000, "not as Prometheus does"),
        ("", "not as Prometheus does"),
        (" " * (http.LARGEST + 1), "more than 1 MiB"),
    ],
    ids=short,
)
async def test_what_is_not_one_current_number_says_what_it_is(
    metrics: Providers, somewhere: Somewhere, content: str, said: str
) -> None:
    somewhere.content = content
    assert said in await problem(metrics)


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (400, json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error: no"}), "parse error: no"),
        (503, json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out"}), "query timed out"),
        (401, "", "needs another token"),
        (403, "", "needs another token"),
        (502, "<html>Bad Gateway", "answered 502, and not as Prometheus does"),
        (302, "", "answered 302, and not as Prometheus does"),
    ],
    ids=short,
)
async def test_a_refusal_says_why(
    metrics: Providers, somewhere: Somewhere, status: int, content: str, said: str
) -> None:
    somewhere.status, somewhere.content, somewhere.headers = status, content, {"location": "/"}
    assert said in await problem(metrics)
    assert len(somewhere.asked) == 1, "nobody is followed elsewhere"


async def test_a_prometheus_that_hangs_is_given_up(somewhere: Somewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.05)
    somewhere.hangs = True
    async with providers(ProviderSettings(somewhere.url), Clock()) as metrics:
        assert "did not answer within" in await problem(metrics)


async def test_without_a_prometheus_the_setting_is_named() -> None:
    async with providers(ProviderSettings(), Clock()) as metrics:
        assert "TIDEGATE_PROMETHEUS_URL is not set" in await problem(metrics)
