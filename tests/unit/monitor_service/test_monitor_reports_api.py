"""The routes of the reports over HTTP, as `monitor.client` asks them, on a store in SQLite."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from monitorkit import DEADLINE, NOON, OF, TOKEN, Sender, api, label, record, said

from monitor.api.app import create_app
from monitor.client import MonitorClient, QuestionRefused
from monitor.evidence import DriftTally, ErrorTally, Evidence, PairTally
from monitor.profiles import Profile
from monitor.reports import baselines
from monitor.store.metrics import Metrics
from monitor.store.service import Store
from monitor.verdict import Verdict

ROOT = "/internal/v1/"
MODEL = {"namespace": "default", "model": "iris"}
PLANNED = MODEL | {"metric": "error-rate", "effect": "0.1"}
ASKED = MODEL | {"since": "0", "stable": "v1", "candidate": "v2", "metric": "feedback-error"}


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[MonitorClient]:
    """A client of the API on a port of 127.0.0.1."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(store, Metrics(), TOKEN), lifespan="off", log_config=None, access_log=False)
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        work = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with asyncio.timeout(DEADLINE), MonitorClient(url, TOKEN) as client:
                yield client
        finally:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await work


async def test_the_client_reads_every_report(store: Store) -> None:
    features = Profile.of({"size": [1.0, 2.0, 3.0] * 100})
    predictions = Profile.of({"predict": [1.5, 2.5] * 60})
    async with served(store) as client:
        for version, mirrored, answer in (("v1", False, 1.5), ("v2", True, 2.5)):
            entry = record("a/b ?%41", NOON, mirrored=mirrored, inputs={"size": [1.5]}, outputs={"predict": [answer]})
            await store.store(Sender(version, version).send(entry))
        await store.hear(said(label("a/b ?%41", 2)))
        await baselines.keep(store, (*OF, "v2"), features, predictions, NOON)
        metrics = ("shadow-agreement", "feedback-accuracy", "feedback-error", "feature-drift", "prediction-drift")
        evidence = await client.evidence(
            *OF, NOON, stable="v1", candidate="v2", metrics=metrics, tolerances=[0.001, 0.5]
        )
        assert evidence.pairs == (PairTally(0.001, 1, 0), PairTally(0.5, 1, 1))
        assert evidence.errors == {"v1": ErrorTally(1, 0.5, 0.25)}
        assert evidence.versions["v1"].labels.count == 1
        assert evidence.features is not None
        assert (evidence.features.reference, evidence.features.samples) == ("file", 1)
        assert [move.name for move in evidence.features.moves] == ["size"]
        comparison = await client.compare(*OF)
        assert (comparison.stable, comparison.candidate) == ("v1", "v2")
        assert comparison.shadow is not None
        assert comparison.shadow.examples[0].inputs == {"size": 1.5}
        assert (await client.compare(*OF, NOON + 1, NOON + 2, stable="v2", candidate="v1")).shadow is None
        performance = await client.performance(*OF, bucket="15m")
        assert (performance.bucket, performance.versions[0].buckets[0].mae) == (900, 0.5)
        drift = await client.drift(*OF, window=5)
        assert (drift.version, drift.features.reference, drift.predictions.reference) == ("v2", "file", "file")
        assert (await client.drift(*OF, "v1", reference="v2")).reference_version == "v2"
        plan = await client.plan(*OF, "feedback-accuracy", 0.1, share=0.2, confidence=0.9, power=0.7, version="v1")
        assert (plan.version, plan.usual, plan.share, plan.confidence, plan.power) == ("v1", 0, 0.2, 0.9, 0.7)


async def test_what_is_known_of_requests_versions_and_references_is_listed(store: Store) -> None:
    profile = json.loads(Profile.of({"size": [1.0, 2.0]}).to_json())
    async with api(store) as client:
        for version, mirrored in (("v1", False), ("v2", True)):
            await store.store(Sender(version, version).send(record("a/b ?%41", mirrored=mirrored)))
        await store.hear(said(label("a/b ?%41", 2)))
        kept = (await client.post(ROOT + "baselines", json=MODEL | {"version": "v2", "features": profile})).json()
        assert (await client.get(ROOT + "baselines", params=MODEL)).json() == {"baselines": [kept]}
        seen = (await client.get(ROOT + "versions", params=MODEL)).json()["versions"]
        assert [one["version"] for one in seen] == ["v2", "v1"]
        request = (await client.get(f"{ROOT}records/{quote('a/b ?%41', safe='')}", params=MODEL)).json()
        assert [one["version"] for one in request["records"]] == ["v1", "v2"]
        assert request["feedback"]["label"] == 2


async def test_what_is_not_known_yet_is_listed_empty(store: Store) -> None:
    async with api(store) as client:
        assert (await client.get(ROOT + "versions", params=MODEL)).json() == {"versions": []}
        assert (await client.get(ROOT + "records/1", params=MODEL)).json()["records"] == []
        assert (await client.get(ROOT + "baselines", params=MODEL)).json() == {"baselines": []}


async def test_what_is_not_known_yet_is_answered_empty(store: Store) -> None:
    async with served(store) as client:
        found = await client.evidence(*OF, 0, stable="v1", candidate="v2", metrics=["feature-drift"])
        assert found == Evidence(features=DriftTally())
        assert (await client.compare(*OF)).versions == ()
        assert (await client.performance(*OF)).versions == ()
        assert (await client.drift(*OF)).features.columns == ()
        assert {one.verdict for one in (await client.drift(*OF)).concept} == {Verdict.INCONCLUSIVE}
        assert (await client.plan(*OF, "error-rate", 0.1)).watched is None


async def test_the_client_says_what_the_monitor_refused(store: Store) -> None:
    async with served(store) as client:
        with pytest.raises(QuestionRefused, match=r"refused the question: bucket: .*must be a duration such as 15m"):
            await client.performance(*OF, bucket="1w")


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("evidence", {"metric": "mood"}, "metric.0: Input should be 'shadow-agreement'"),
        ("evidence", {"metric": None}, "metric: Field required"),
        ("evidence", {"tolerance": "-1"}, "tolerance.0: Input should be greater than or equal to 0"),
        ("evidence", {"tolerance": "nan"}, "tolerance.0: Input should be a finite number"),
        ("evidence", {"tolerance": ["0"] * 21}, "tolerance: List should have at most 20 items"),
        ("evidence", {"since": "-1"}, "since: Input should be greater than or equal to 0"),
        ("evidence", {"stable": ""}, "stable: String should have at least 1 character"),
        ("evidence", {"candidate": None}, "candidate: Field required"),
        ("compare", {"model": None}, "model: Field required"),
        ("compare", {"until": "inf"}, "until: Input should be"),
        ("performance", {"bucket": "90s"}, "bucket: must be a duration such as 15m"),
        ("performance", {"bucket": "0m"}, "bucket: must be a duration such as 15m"),
        ("plan", {"metric": "mood"}, "metric: Input should be 'feedback-accuracy'"),
        ("plan", {"effect": None}, "effect: Field required"),
        ("plan", {"effect": "0"}, "effect: Input should be greater than 0"),
        ("plan", {"effect": "nan"}, "effect: Input should be"),
        ("plan", {"share": "1.5"}, "share: Input should be less than or equal to 1"),
        ("plan", {"share": "1"}, "share: the stable version needs samples, too: it must be below 1"),
        ("plan", {"confidence": "1"}, "confidence: Input should be less than or equal to 0.9999"),
        ("plan", {"power": "0.1"}, "power: Input should be greater than or equal to 0.5"),
        ("plan", {"rate": "2"}, "rate: Input should be less than or equal to 1"),
        ("plan", {"rate": "0.5", "effect": "0.6"}, "effect: error-rate is usually 0.5 and can neither rise nor fall"),
        ("plan", {"rate": "0.5", "effect": "1e-300"}, "effect: a difference of 1e-300 is too small or too large"),
        ("plan", {"sd": "1"}, "sd: error-rate is a rate: say how large it usually is"),
        ("plan", {"sd": "1", "rate": "0.5"}, "sd: a rate has no other standard deviation than its own"),
        ("plan", {"metric": "shadow-agreement", "rate": "0"}, "effect: an agreement of 0 cannot be so far above"),
        ("drift", {"window": "0"}, "window: Input should be greater than or equal to 1"),
        ("drift", {"window": "10001"}, "window: Input should be less than or equal to 10000"),
        ("versions", {"namespace": None}, "namespace: Field required"),
        ("records/1", {"model": None}, "model: Field required"),
        ("baselines", {"model": "two words"}, "model: String should match pattern"),
    ],
)
async def test_a_question_that_makes_no_sense_is_answered_with_the_parameter(
    store: Store, path: str, change: dict[str, str | list[str] | None], message: str
) -> None:
    usual = PLANNED if path == "plan" else ASKED
    query = {name: value for name, value in (usual | change).items() if value is not None}
    async with api(store) as client:
        answer = await client.get(ROOT + path, params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["error"].startswith(message)


_PROFILE = json.loads(Profile.of({"size": [1.0, 2.0]}).to_json())
_COLUMN = _PROFILE["columns"]["size"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"version": None}, "invalid_request", "version: "),
        ({"features": []}, "invalid_request", "features: "),
        ({"feature": {}}, "invalid_request", "feature: "),
        ({"features": {}}, "bad_profile", "no profile: KeyError"),
        ({"features": _PROFILE | {"schema": 99}}, "bad_profile", "the profile has schema 99; this release reads 1"),
        ({"features": _PROFILE | {"columns": {"size": _COLUMN | {"kind": "odd"}}}}, "bad_profile", "no profile: "),
        ({"features": _PROFILE | {"columns": {"size": _COLUMN | {"count": "2"}}}}, "bad_profile", "no profile: "),
        ({"predictions": _PROFILE | {"columns": {"size": _COLUMN | {"sample": ["a", "b"]}}}}, "bad_profile", "no prof"),
        ({"predictions": _PROFILE | {"rows": 2**70}}, "bad_profile", "no profile: "),
    ],
)
async def test_a_profile_that_nothing_can_be_compared_with_is_refused(
    store: Store, change: dict[str, object], code: str, message: str
) -> None:
    body = MODEL | {"version": "v1", "features": _PROFILE} | change
    async with api(store) as client:
        answer = await client.post(ROOT + "baselines", content=json.dumps(body))
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.json()["error"].startswith(message)
        assert (await client.get(ROOT + "baselines", params=MODEL)).json() == {"baselines": []}


@pytest.mark.parametrize(
    "path", ["evidence", "compare", "performance", "plan", "drift", "versions", "records/1", "baselines"]
)
async def test_nobody_without_the_token_reads_reports(store: Store, path: str) -> None:
    async with api(store) as client:
        del client.headers["authorization"]
        answer: httpx.Response = await client.get(ROOT + path, params=ASKED)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_numbers_that_json_has_not_are_null(store: Store) -> None:
    await store.store(Sender("v1").send(record("1", outputs={"predict": ["a"]})))
    async with api(store) as client:
        version = (await client.get(ROOT + "compare", params=MODEL)).json()["versions"][0]
        assert version["reward"] == {"value": None, "low": None, "high": None, "samples": 0}
