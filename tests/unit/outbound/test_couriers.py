"""Channels tell of events: once, in the end, whatever receivers do, and not too often."""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import standardwebhooks
from aiohttp import web
from monitorkit import Clock, running
from outboundkit import Bench, Got, Receiver, event, slack, webhook

from monitor.outbound import courier
from monitor.outbound.courier import LONGEST_PAUSE, MOST_A_MINUTE
from monitor.outbound.outbox import LATE_SECONDS
from monitor.store.schema import MICROSECONDS
from monitor.store.service import Store

pytestmark = pytest.mark.usefixtures("quick")

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_an_event_is_told_once(store: Store, receiver: Receiver) -> None:
    bench, ops = Bench(store), webhook(receiver.url)
    await bench.outbox(ops).emit(event("a"))
    async with bench.couriers(ops):
        await bench.done(1)
        await bench.outbox(ops).emit(event("a"), event("b"))
        (_, row) = await bench.done(2)
    assert [got.keys for got in receiver.got] == [["a"], ["b"]]
    assert (row.attempts, row.error, bench.counted("sent"), bench.counted("failed")) == (1, None, 2, 0)


async def test_a_webhook_gets_json_that_names_its_delivery(store: Store, receiver: Receiver) -> None:
    bench, ops = Bench(store), webhook(receiver.url)
    await bench.outbox(ops).emit(event("a", at=time.time() // 1, title="drift in Größe", details={"psi": 0.3}))
    async with bench.couriers(ops):
        (got,) = await receiver.has(1)
    content = got.content
    assert (content["title"], content["text"]) == ("default/iris: drift in Größe", "it was aborted")
    assert content["delivery"] == got.headers["tidegate-delivery"] == got.headers["webhook-id"]
    assert got.headers["content-type"] == "application/json"
    assert "webhook-signature" not in got.headers
    (told,) = content["events"]
    assert told["details"] == {"psi": 0.3}
    assert told["at"].endswith(".000Z")


async def test_a_webhook_with_a_secret_is_signed_as_standard_webhooks_are(
    store: Store, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    bench, ops = Bench(store), webhook(receiver.url, secretFile=tmp_path / "secret")
    await bench.outbox(ops).emit(event("a", message="Größe ≠ 1"))
    async with bench.couriers(ops):
        (got,) = await receiver.has(1)
    theirs = standardwebhooks.Webhook(SECRET)
    assert theirs.verify(got.body, dict(got.headers))["events"][0]["key"] == "a"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        theirs.verify(got.body.replace(b"Aborted", b"Adopted"), dict(got.headers))


async def test_slack_gets_text_and_blocks_in_which_nothing_calls_anybody(store: Store, receiver: Receiver) -> None:
    bench, team = Bench(store), slack(receiver.url)
    await bench.outbox(team).emit(event("a", message="<!channel> & " + "<" * 3_900))
    async with bench.couriers(team):
        (got,) = await receiver.has(1)
    header, section = got.content["blocks"]
    assert header["text"] == {"type": "plain_text", "text": ":warning: default/iris: Aborted: a", "emoji": True}
    assert section["text"]["type"] == "mrkdwn"
    assert section["text"]["text"].startswith("&lt;!channel&gt; &amp; ")
    assert len(section["text"]["text"]) <= 3_000
    assert len(got.content["text"]) <= 3_000
    assert "<" not in got.content["text"]


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
async def test_what_is_not_taken_is_sent_again_with_the_same_delivery(
    store: Store, receiver: Receiver, status: int
) -> None:
    bench, ops = Bench(store), webhook(receiver.url)
    receiver.answers = [status, status]
    await bench.outbox(ops).emit(event("a"))
    async with bench.couriers(ops):
        (row,) = await bench.done(1)
    assert [got.keys for got in receiver.got] == [["a"]] * 3
    assert len({got.headers["tidegate-delivery"] for got in receiver.got}) == 1
    assert (row.attempts, bench.counted("sent"), bench.counted("failed")) == (3, 1, 2)


async def test_a_redirect_is_not_followed(store: Store, receiver: Receiver) -> None:
    async def elsewhere(_: Got) -> web.Response:
        return web.Response(status=307, headers={"location": receiver.url.replace("hook", "stolen")})

    bench, ops = Bench(store, Clock(time.time())), webhook(receiver.url)
    receiver.answers = [elsewhere]
    await bench.outbox(ops).emit(event("a"))
    async with bench.couriers(ops):
        row = await bench.failed(1)
    assert row.error == "the receiver answered 307: redirects are not followed, give the final URL"
    assert [got.path for got in receiver.got] == ["/hook"]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_receiver_may_say_how_long_to_wait(store: Store, receiver: Receiver, form: str) -> None:
    async def later(_: Got) -> web.Response:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=700), usegmt=True)
        return web.Response(status=429, headers={"retry-after": "600" if form == "seconds" else date})

    clock = Clock(time.time())
    bench, ops = Bench(store, clock), webhook(receiver.url)
    receiver.answers = [later]
    await bench.outbox(ops).emit(event("a"))
    async with bench.couriers(ops):
        row = await bench.failed(1)
    assert 500 < row.next_at / MICROSECONDS - clock.now < 800


async def test_pauses_double_up_to_a_bound(store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(time.time())
    bench, ops = Bench(store, clock), webhook(receiver.url)
    receiver.answers = [500] * 60
    await bench.outbox(ops).emit(event("a"))
    monkeypatch.setattr(courier, "MOST_A_MINUTE", 1_000)
    pauses = []
    for attempt in range(1, 5):
        async with bench.couriers(ops):
            row = await bench.failed(attempt)
        pauses.append(row.next_at / MICROSECONDS - clock.now)
        clock.now = row.next_at / MICROSECONDS
        bench = Bench(store, clock)
    assert pauses == pytest.approx([0.01, 0.02, 0.04, 0.08], abs=1e-5)
    assert courier._pause(60) == LONGEST_PAUSE


async def test_a_receiver_that_hangs_is_given_up_and_holds_no_other_channel_up(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()

    async def hang(_: Got) -> web.Response:
        await over.wait()
        return web.Response(status=204)

    bench = Bench(store)
    slow, fast = webhook(receiver.url + "/slow", "slow"), webhook(receiver.url + "/fast", "fast")
    async with bench.couriers(slow):
        receiver.answers = [hang]
        await bench.outbox(slow).emit(event("first"))
        await receiver.has(1)
        other = Bench(store)
        await bench.outbox(fast).emit(*(event(str(n)) for n in range(3)))
        async with other.couriers(fast):
            await other.done(3)
        assert bench.counted("sent", "slow") == 0
        over.set()
        await bench.done(4)
    receiver.answers, over = [hang], asyncio.Event()
    monkeypatch.setattr(courier, "SEND_SECONDS", 0.05)
    bench = Bench(store)
    await bench.outbox(slow).emit(event("second"))
    async with bench.couriers(slow):
        rows = await bench.done(5)
    assert rows[-1].attempts == 1 + bench.counted("failed", "slow") > 1
    over.set()


async def test_nobody_there_is_said_without_the_url(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "url").write_text("http://127.0.0.1:9/hush")
    team = slack(None, urlFile=tmp_path / "url")
    bench = Bench(store, Clock(time.time()))
    await bench.outbox(team).emit(event("a"))
    with caplog.at_level(logging.DEBUG, logger="monitor"):
        async with bench.couriers(team):
            row = await bench.failed(1)
    assert row.error == "the receiver cannot be reached: Connection refused"
    assert "channel team: the receiver cannot be reached" in caplog.text
    assert "hush" not in caplog.text


async def test_a_secret_that_is_gone_is_waited_for(store: Store, receiver: Receiver, tmp_path: Path) -> None:
    bench, ops = Bench(store), webhook(receiver.url, secretFile=tmp_path / "secret")
    await bench.outbox(ops).emit(event("a"))
    async with bench.couriers(ops):
        row = await bench.failed(1)
        assert "cannot be read: No such file or directory" in row.error
        (tmp_path / "secret").write_text(SECRET)
        await bench.done(1)
    assert len(receiver.got) == 1


async def test_an_event_that_is_refused_holds_no_other_up(store: Store, receiver: Receiver) -> None:
    async def picky(got: Got) -> web.Response:
        receiver.answers.append(picky)
        return web.Response(status=400 if "poison" in got.keys else 204)

    clock = Clock(time.time())
    bench, ops = Bench(store, clock), webhook(receiver.url)
    receiver.answers = [picky]
    await bench.outbox(ops).emit(event("poison"), event("b"), event("c"))
    async with bench.couriers(ops):
        poison, *_ = await bench.done(2)
    assert (poison.done_at, poison.error) == (None, "the receiver answered 400")


async def test_what_was_not_told_within_a_day_is_given_up_and_counted(store: Store, receiver: Receiver) -> None:
    clock = Clock(time.time())
    bench, ops = Bench(store, clock), webhook(receiver.url)
    receiver.answers = [500]
    await bench.outbox(ops).emit(event("a"))
    async with bench.couriers(ops):
        await bench.failed(1)
        clock.now += LATE_SECONDS + 60
        (row,) = await bench.done(1)
    assert (row.attempts, row.error, bench.counted("given_up")) == (1, "given up: a day has passed", 1)
    assert len(receiver.got) == 1


async def test_many_events_share_a_message(store: Store, receiver: Receiver) -> None:
    bench, ops = Bench(store), webhook(receiver.url)
    many = [event(str(n), kind="drift" if n % 3 == 0 else "rollout") for n in range(MOST_A_MINUTE + 3)]
    await bench.outbox(ops).emit(*many)
    async with bench.couriers(ops):
        await bench.done(len(many))
    (got,) = receiver.got
    assert got.keys == [one.key for one in many]
    assert got.content["title"] == "33 events: 22 rollout, 11 drift"
    lines = got.content["text"].splitlines()
    assert (len(lines), lines[0], lines[-1]) == (21, "default/iris: Aborted: 0", "… and 13 more")


async def test_a_message_about_too_many_events_is_divided(store: Store, receiver: Receiver) -> None:
    async def small(got: Got) -> web.Response:
        receiver.answers.append(small)
        return web.Response(status=413 if len(got.keys) > 10 else 204)

    bench, ops = Bench(store), webhook(receiver.url)
    receiver.answers = [small]
    await bench.outbox(ops).emit(*(event(str(n)) for n in range(MOST_A_MINUTE + 10)))
    async with bench.couriers(ops):
        await bench.done(MOST_A_MINUTE + 10)
    taken = [key for got in receiver.got if len(got.keys) <= 10 for key in got.keys]
    assert sorted(taken, key=int) == [str(n) for n in range(MOST_A_MINUTE + 10)]


async def test_no_more_messages_go_out_than_a_minute_allows_and_then_one_for_all_that_wait(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "MOST_A_MINUTE", 4)
    monkeypatch.setattr(courier, "MINUTE", 5.0)
    bench, ops = Bench(store), webhook(receiver.url)
    outbox = bench.outbox(ops)
    async with bench.couriers(ops):
        await outbox.emit(event("0"), event("1"), event("2"))
        await receiver.has(3)
        await outbox.emit(*(event(str(n)) for n in range(3, 9)))
        await bench.done(9)
    assert [len(got.keys) for got in receiver.got] == [1, 1, 1, 6]


async def test_what_was_told_is_not_told_again_by_another_process(url: str, receiver: Receiver) -> None:
    ops = webhook(receiver.url)
    async with running(url) as store:
        bench = Bench(store)
        await bench.outbox(ops).emit(event("a"))
        async with bench.couriers(ops):
            await bench.done(1)
    async with running(url) as store:
        bench = Bench(store)
        await bench.outbox(ops).emit(event("a"), event("b"))
        async with bench.couriers(ops):
            await bench.done(2)
    assert [got.keys for got in receiver.got] == [["a"], ["b"]]


async def test_a_process_that_ends_notes_what_it_is_sending(url: str, receiver: Receiver) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def slowly(_: Got) -> web.Response:
        asked.set()
        await over.wait()
        return web.Response(status=204)

    ops = webhook(receiver.url)
    receiver.answers = [slowly]
    async with running(url) as store:
        bench = Bench(store)
        await bench.outbox(ops).emit(event("a"))
        async with bench.couriers(ops):
            await asked.wait()
            asyncio.get_running_loop().call_later(0.1, over.set)  # the courier has been told to end by then
        (row,) = await bench.rows()
    assert row.done_at is not None
    assert json.loads(receiver.got[0].body)["events"][0]["key"] == "a"


async def test_a_defect_in_one_channel_is_a_failure_like_any_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def defect(*_: object) -> None:
        raise RuntimeError("hush")

    bench, ops = Bench(store, Clock(time.time())), webhook("http://127.0.0.1:9")
    await bench.outbox(ops).emit(event("a"))
    broken = courier.Courier("ops", defect, store, bench.metrics, bench.clock)
    task = asyncio.create_task(broken.run())
    row = await bench.failed(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert row.error == "sending failed: RuntimeError"
    assert "channel ops failed: RuntimeError" in caplog.text
    assert "hush" not in caplog.text.replace('raise RuntimeError("hush")', "")
