"""The monitor's HTTP API on a store in SQLite."""

import httpx
import pytest
from monitorkit import NOON, Sender, api, block, record, reward, running

from monitor.api.guard import LARGEST_BODY
from monitor.store.database import database_url
from monitor.store.metrics import Metrics
from monitor.store.service import Store

RECORDS = "/internal/v1/records"
TALLIES = "/internal/v1/tallies"
FEEDBACK = "/api/v1/models/iris/feedback"
ROUTED = {"tidegate-route": "default/iris"}


async def told(client: httpx.AsyncClient, body: object) -> httpx.Response:
    return await client.post(FEEDBACK, json=body, headers=ROUTED)


async def test_records_feedback_tallies_and_exposures_from_end_to_end(store: Store) -> None:
    async with api(store) as client:
        entry = record("1", NOON, share=500, key="u", inputs={"a": [1.5]}, outputs={"predict": ["rose"]})
        answer = await client.post(RECORDS, json=Sender().document(entry))
        assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
        answer = await told(client, {"request_id": "1", "label": "rose", "reward": 1})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "unknown": 0})
        answer = await told(client, {"items": [reward("1", 1), reward("2", 0.5)]})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "unknown": 1})
        answer = await client.get(TALLIES, params={"namespace": "default", "model": "iris", "since": NOON})
        assert answer.json() == {
            "versions": {
                "v1": {
                    "requests": 1,
                    "errors": 0,
                    "rewards": {"count": 1, "sum": 1.0, "squares": 1.0, "zero_one": True},
                    "labels": {"count": 1, "correct": 1},
                    "by_share": [{"share": 500, "count": 1, "sum": 1.0, "squares": 1.0}],
                }
            }
        }
        query = {"namespace": "default", "model": "iris", "limit": 5}
        answer = await client.get("/internal/v1/exposures", params=query)
        assert answer.json() == {
            "exposures": [{"key": "u", "version": "v1", "share": 500, "first_at": NOON}],
            "after": 1,
        }


async def test_a_period_ends_before_until(store: Store) -> None:
    async with api(store) as client:
        await client.post(RECORDS, json=Sender().document(record("1", NOON), record("2", NOON + 1)))
        query = {"namespace": "default", "model": "iris", "since": NOON, "until": NOON + 1}
        assert (await client.get(TALLIES, params=query)).json()["versions"]["v1"]["requests"] == 1


@pytest.mark.parametrize("claimed", [{}, {"content-type": "application/x-www-form-urlencoded"}])
async def test_a_body_is_json_whatever_its_content_type_says(store: Store, claimed: dict[str, str]) -> None:
    async with api(store) as client:
        answer = await client.post(FEEDBACK, content=b'{"request_id": "1", "reward": 1}', headers=ROUTED | claimed)
        assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"request_id": "1"}, "needs a label or a reward"),
        ({"request_id": "1", "label": None}, "needs a label or a reward"),
        ({"reward": 1}, "request_id: Field required"),
        ({"request_id": "", "reward": 1}, "request_id: String should have at least 1 character"),
        ({"request_id": "1", "reward": "1"}, "reward: Input should be a valid number"),
        ({"request_id": "1", "reward": True}, "reward: Input should be a valid number"),
        ({"request_id": "1", "reward": 1e16}, "reward: Input should be less than or equal to 1000000000000000"),
        ({"request_id": "1", "label": 2**70}, "label: cannot be kept: Integer exceeds 64-bit range"),
        ({"request_id": "1", "lable": 1}, "lable: Extra inputs are not permitted"),
        ({"items": []}, "items: List should have at least 1 item after validation, not 0"),
        ({"items": [reward("1", 1)] * 1001}, "items: List should have at most 1000 items after validation, not 1001"),
        ({"items": [reward("1", 1), {"request_id": "2"}]}, "items.1: needs a label or a reward"),
        ([], "Input should be a valid dictionary"),
    ],
)
async def test_feedback_that_makes_no_sense_is_answered_with_the_path_to_it(
    store: Store, body: object, message: str
) -> None:
    async with api(store) as client:
        answer = await told(client, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["error"].startswith(message)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b'{"request_id": "1", "label": NaN}', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_answered_400(store: Store, content: bytes) -> None:
    async with api(store) as client:
        answer = await client.post(FEEDBACK, content=content, headers=ROUTED)
        assert answer.status_code == 400
        assert answer.json().keys() == {"error", "code", "request_id"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"namespace": ""}, "namespace"),
        ({"model": "white space"}, "model"),
        ({"batch": 0}, "batch"),
        ({"dropped": -1}, "dropped"),
        ({"replica": "\x00"}, "replica"),
        ({"blocks": [block([record("1", at=-1)])]}, "blocks.0.at.0"),
        ({"blocks": [block([record("1"), record("2", status=99)])]}, "blocks.0.status.1"),
        ({"blocks": [block([record("1")]), block([record("2", share=10_001)])]}, "blocks.1.share.0"),
        ({"blocks": [block([record("1")]) | {"inputs": {"a": 1}}]}, "blocks.0.inputs.a"),
        ({"blocks": [{"id": ["1"]}]}, "blocks.0.at"),
    ],
)
async def test_a_batch_that_makes_no_sense_is_refused_with_the_path_to_it(
    store: Store, change: dict[str, object], path: str
) -> None:
    async with api(store) as client:
        answer = await client.post(RECORDS, json=Sender().document() | change)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["error"].startswith(f"{path}: ")


async def test_fields_of_a_newer_sender_are_ignored(store: Store) -> None:
    async with api(store) as client:
        body = Sender().document(record("1", mood="good")) | {"weather": "fair"}
        assert (await client.post(RECORDS, json=body)).json() == {"accepted": 1}


async def test_a_conflict_is_answered_409_and_replace_settles_it(store: Store) -> None:
    async with api(store) as client:
        await told(client, reward("1", 1))
        answer = await told(client, reward("1", 0))
        assert (answer.status_code, answer.json()["code"]) == (409, "feedback_conflict")
        assert (await told(client, reward("1", 0) | {"replace": True})).status_code == 202
        assert (await told(client, {"items": [reward("1", 1)], "replace": True})).status_code == 202


@pytest.mark.parametrize("route", [None, "", "iris", "/iris", "default/wine", "default/iris/x"])
async def test_feedback_that_did_not_come_through_the_router_is_refused(store: Store, route: str | None) -> None:
    async with api(store) as client:
        headers = {} if route is None else {"tidegate-route": route}
        answer = await client.post(FEEDBACK, json=reward("1", 1), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "no_route")


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "Basic eDp5", "Bearer é"])
async def test_nobody_without_the_token_reads_or_writes_what_is_internal(store: Store, given: str | None) -> None:
    async with api(store) as client:
        del client.headers["authorization"]
        headers = {} if given is None else {"authorization": given.encode()}
        query = "?namespace=default&model=iris&since=0"
        for request in (
            client.post(RECORDS, json=Sender().document(), headers=headers),
            client.get(TALLIES + query, headers=headers),
            client.get("/internal/v1/exposures" + query, headers=headers),
        ):
            answer = await request
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_without_a_token_the_api_is_open(store: Store) -> None:
    async with api(store, token=None) as client:
        assert (await client.post(RECORDS, json=Sender().document())).status_code == 200


@pytest.mark.parametrize("query", ["", "namespace=a&model=b", "namespace=a&model=b&since=x", "namespace=a&since=0"])
async def test_a_question_that_makes_no_sense_is_answered_400(store: Store, query: str) -> None:
    async with api(store) as client:
        answer = await client.get(f"{TALLIES}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_model_that_nobody_recorded_has_no_versions(store: Store) -> None:
    async with api(store) as client:
        assert (await client.get(f"{TALLIES}?namespace=a&model=b&since=0")).json() == {"versions": {}}


async def test_a_body_beyond_the_limit_is_refused(store: Store) -> None:
    async with api(store) as client:
        answer = await client.post(RECORDS, content=b" " * (LARGEST_BODY + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_unknown_paths_and_methods_are_answered_in_the_same_form(store: Store) -> None:
    async with api(store) as client:
        headers = {"x-request-id": "mine"}
        answer = await client.get("/nothing/here", headers=headers)
        assert answer.json() == {"error": "Not Found", "code": "not_found", "request_id": "mine"}
        answer = await client.get(FEEDBACK, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer.headers["x-request-id"] == "mine"


async def test_a_fault_of_the_monitors_own_is_answered_500_without_details(store: Store) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a secret")

    store.tallies = fails  # type: ignore[method-assign, assignment]
    async with api(store) as client:
        answer = await client.get(f"{TALLIES}?namespace=a&model=b&since=0")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "secret" not in answer.text


async def test_health_and_metrics_are_open_to_everybody(url: str) -> None:
    metrics = Metrics()
    async with running(url, metrics) as store, api(store, metrics) as client:
        del client.headers["authorization"]
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).text == "ok\n"
        await told(client, reward("1", 1))
        text = (await client.get("/metrics")).text
        assert "tidegate_monitor_unknown_feedback_total 1.0" in text
        assert "tidegate_monitor_write_seconds_count 1.0" in text
        assert "tidegate_monitor_waiting_entries 0.0" in text


async def test_a_monitor_whose_database_was_not_reached_yet_is_alive_and_not_ready(url: str) -> None:
    store = Store(database_url(url), 1, Metrics())
    async with api(store) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        answer = await told(client, reward("1", 1))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    await store.close()


async def test_more_than_may_wait_is_sent_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.store.writer.WAITING", 10)
    async with running(url) as store, api(store) as client:
        answer = await client.post(RECORDS, json=Sender().document(*(record(str(n)) for n in range(11))))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


async def test_the_api_describes_itself(store: Store) -> None:
    async with api(store) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        reports = (
            "baselines",
            "compare",
            "drift",
            "evidence",
            "performance",
            "plan",
            "records/{request_id}",
            "sample",
            "versions",
        )
        expected = {f"/internal/v1/{name}" for name in (*reports, "events", "exposures", "records", "tallies")}
        assert set(paths) == expected | {"/api/v1/models/{name}/feedback"}
