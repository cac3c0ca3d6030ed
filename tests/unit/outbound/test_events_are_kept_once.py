"""The table of events, the outbox, and the routes to both."""

import time
from typing import Any

import pytest
from monitorkit import api
from outboundkit import Bench, event, webhook

from monitor.event import LONGEST_MESSAGE, LONGEST_TITLE
from monitor.outbound.outbox import LATE_SECONDS, Outbox
from monitor.store.service import Store

EVENTS = "/internal/v1/events"
NOW = 1_790_000_000.25


def body(key: str, **changes: Any) -> dict[str, Any]:
    return event(key, at=NOW).model_dump() | changes


async def test_an_event_is_kept_once_however_often_it_is_told(store: Store) -> None:
    outbox = Outbox(store, [webhook("http://127.0.0.1:1/")])
    assert await outbox.emit(event("a"), event("b"), event("a")) == 2
    assert await outbox.emit(event("b"), event("c")) == 1
    assert [row.channel for row in await Bench(store).rows()] == ["ops"] * 3


async def test_nothing_to_tell_is_nothing(store: Store) -> None:
    assert await Outbox(store).emit() == 0


async def test_every_channel_gets_what_it_is_for(store: Store) -> None:
    url = "http://127.0.0.1:1/"
    channels = [
        webhook(url, "all"),
        webhook(url, "drift", events=["drift"]),
        webhook(url, "warnings", severities=["warning"]),
        webhook(url, "shop", namespaces=["shop", "stock"]),
        webhook(url, "wine", models=["wine"], severities=["info"]),
    ]
    outbox = Outbox(store, channels)
    await outbox.emit(event("1"))
    await outbox.emit(event("2", kind="drift", severity="info", namespace="shop"))
    await outbox.emit(event("3", severity="info", model="wine"))
    told = {(row.event_id, row.channel) for row in await Bench(store).rows()}
    assert told == {
        (1, "all"),
        (1, "warnings"),
        (2, "all"),
        (2, "drift"),
        (2, "shop"),
        (3, "all"),
        (3, "wine"),
    }


async def test_what_happened_more_than_a_day_ago_is_kept_and_not_told(store: Store) -> None:
    outbox = Outbox(store, [webhook("http://127.0.0.1:1/")])
    assert await outbox.emit(event("old", at=time.time() - LATE_SECONDS - 1)) == 1
    assert await Bench(store).rows() == []


async def test_an_event_and_its_deliveries_are_one_transaction(store: Store) -> None:
    outbox = Outbox(store, [webhook("http://127.0.0.1:1/")])

    async def interrupted() -> None:
        async with store.writing() as connection:
            await outbox.add(connection, [event("a")])
            raise RuntimeError("something else goes wrong in it")

    with pytest.raises(RuntimeError):
        await interrupted()
    assert await Bench(store).rows() == []
    assert await outbox.emit(event("a")) == 1


async def test_events_are_told_and_listed_newest_first_a_page_at_a_time(store: Store) -> None:
    async with api(store) as client:
        given = [body(str(n), at=NOW + n % 3) for n in range(6)]
        answer = await client.post(EVENTS, json=given)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 6})
        assert (await client.post(EVENTS, json=given[:2])).json() == {"accepted": 0}
        listed: list[str] = []
        query: dict[str, Any] = {"limit": 4}
        while query.get("after", 0) is not None:
            page = (await client.get(EVENTS, params=query)).json()
            listed += [one["key"] for one in page["events"]]
            query["after"] = page["after"]
        assert listed == ["5", "2", "4", "1", "3", "0"]


async def test_an_event_comes_back_as_it_was_told(store: Store) -> None:
    async with api(store) as client:
        given = body("a", details={"version": "iris-1", "psi": [0.25, None]}, title="Größe ≠ 1")
        await client.post(EVENTS, json=[given])
        assert (await client.get(EVENTS)).json()["events"] == [given]


async def test_events_are_found_by_namespace_model_and_kind(store: Store) -> None:
    async with api(store) as client:
        given = [body("a"), body("b", namespace="shop"), body("c", model="wine"), body("d", kind="drift")]
        await client.post(EVENTS, json=given)
        for query, keys in [
            ({"namespace": "shop"}, ["b"]),
            ({"model": "wine"}, ["c"]),
            ({"kind": "drift"}, ["d"]),
            ({"namespace": "default", "model": "iris", "kind": "rollout"}, ["a"]),
            ({"namespace": "nowhere"}, []),
        ]:
            page = (await client.get(EVENTS, params=query)).json()
            assert [one["key"] for one in page["events"]] == keys


async def test_texts_lose_what_cannot_be_kept_rather_than_being_refused(store: Store) -> None:
    async with api(store) as client:
        given = body("a", title="two\nlines" + "x" * 500, message="a\x00b" + "y" * 9_000)
        assert (await client.post(EVENTS, json=[given])).json() == {"accepted": 1}
        kept = (await client.get(EVENTS)).json()["events"][0]
        assert kept["title"].startswith("two linesxxx")
        assert kept["message"].startswith("a\ufffdbyyy")
        assert (len(kept["title"]), len(kept["message"])) == (LONGEST_TITLE, LONGEST_MESSAGE)
        assert kept["title"].endswith("…")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"key": ""}, "0.key"),
        ({"key": "ä"}, "0.key"),
        ({"kind": "weather"}, "0.kind"),
        ({"severity": "fatal"}, "0.severity"),
        ({"at": -1}, "0.at"),
        ({"title": ""}, "0.title"),
        ({"model": "white space"}, "0.model"),
    ],
)
async def test_an_event_that_makes_no_sense_is_refused_with_the_path_to_it(
    store: Store, change: dict[str, Any], path: str
) -> None:
    async with api(store) as client:
        answer = await client.post(EVENTS, json=[body("a") | change])
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["error"].startswith(f"{path}: ")


async def test_nobody_without_the_token_tells_or_lists_events(store: Store) -> None:
    async with api(store) as client:
        del client.headers["authorization"]
        assert (await client.post(EVENTS, json=[body("a")])).status_code == 401
        assert (await client.get(EVENTS)).status_code == 401
