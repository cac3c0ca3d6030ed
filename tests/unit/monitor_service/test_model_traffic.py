"""What the monitor tells Prometheus of models' traffic: every stored record once, without a series too many."""

import asyncio
from pathlib import Path

import pytest
from monitorkit import DEADLINE, Clock, Sender, away, record, running
from prometheus_client import CollectorRegistry

from monitor.store.metrics import Metrics
from monitor.store.service import Store
from monitor.store.spool import Spool
from monitor.store.traffic import IDLE_SECONDS, MOST_VERSIONS, ModelTraffic

V1 = {"namespace": "default", "model": "iris", "version": "v1"}


@pytest.fixture
def traffic(clock: Clock) -> ModelTraffic:
    return ModelTraffic(clock)


def told(traffic: ModelTraffic, name: str, **labels: str) -> float | None:
    """One series, None if there is none."""
    registry = CollectorRegistry()
    registry.register(traffic)
    return registry.get_sample_value(name, labels)


def answered(metrics: Metrics, status: str = "2xx", **more: str) -> float | None:
    return metrics.registry.get_sample_value("model_predictions_total", V1 | {"status": status} | more)


def test_users_requests_and_copies_are_apart(traffic: ModelTraffic) -> None:
    records = [record("a", ms=1.5), record("b", ms=70.0), record("c", status=503), record("d", status=400)]
    traffic.count(Sender().send(*records, record("a", mirrored=True), record("b", mirrored=True, status=500)))
    assert told(traffic, "model_predictions_total", **V1, status="2xx") == 2
    assert told(traffic, "model_predictions_total", **V1, status="4xx") == 1
    assert told(traffic, "model_predictions_total", **V1, status="5xx") == 1
    assert told(traffic, "model_shadow_predictions_total", **V1, status="2xx") == 1
    assert told(traffic, "model_shadow_predictions_total", **V1, status="5xx") == 1


def test_a_time_is_in_the_first_bucket_that_holds_it_and_in_all_above(traffic: ModelTraffic) -> None:
    times = [1.0, 1.001, 20.0, 60_000.0]
    traffic.count(Sender().send(*(record(str(ms), ms=ms) for ms in times), record("copy", ms=5.0, mirrored=True)))
    name = "model_prediction_latency_seconds"
    below = {bound: told(traffic, f"{name}_bucket", **V1, le=bound) for bound in ("0.001", "0.002", "0.02", "+Inf")}
    assert below == {"0.001": 1, "0.002": 2, "0.02": 3, "+Inf": 4}
    assert told(traffic, f"{name}_sum", **V1) == pytest.approx(sum(times) / 1_000)
    assert told(traffic, f"{name}_count", **V1) == 4


def test_a_version_without_traffic_is_not_told_of_and_begins_at_zero(traffic: ModelTraffic, clock: Clock) -> None:
    one, other = Sender(), Sender(version="v2")
    traffic.count(one.send(record("a")))
    clock.now += IDLE_SECONDS
    traffic.count(other.send(record("b")))
    assert told(traffic, "model_predictions_total", **V1, status="2xx") is None
    assert told(traffic, "model_predictions_total", **V1 | {"version": "v2"}, status="2xx") == 1
    traffic.count(one.send(record("c")))
    assert told(traffic, "model_predictions_total", **V1, status="2xx") == 1


def test_versions_beyond_the_limit_are_counted_together_until_there_is_room(
    traffic: ModelTraffic, clock: Clock
) -> None:
    for number in range(MOST_VERSIONS):
        traffic.count(Sender(version=f"v{number}").send(record("a")))
    late = Sender(version="late")
    traffic.count(late.send(record("a"), record("b")))
    of = V1 | {"version": "late", "status": "2xx"}
    assert told(traffic, "model_predictions_total", **of) is None
    assert told(traffic, "tidegate_monitor_unlisted_predictions_total") == 2
    clock.now += IDLE_SECONDS
    traffic.count(late.send(record("c")))
    assert told(traffic, "model_predictions_total", **of) == 1


async def test_a_batch_that_is_sent_again_counts_once(store: Store, metrics: Metrics) -> None:
    sender = Sender()
    await store.store(sender.send(record("a"), record("b")))
    await store.store(sender.send(record("a"), record("b"), again=True))
    assert answered(metrics) == 2


async def test_what_was_in_the_spool_counts_once_and_when_it_is_stored(
    url: str, tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.database.CONNECT_SECONDS", 0.05)
    sender = Sender()
    sent = [sender.send(record("a")), sender.send(record("b"))]
    async with running(url, metrics, spool=Spool(tmp_path / "spool", 1 << 20)) as store:
        async with away(tmp_path):
            for batch in (*sent, sent[0]):
                await store.store(batch)
            assert answered(metrics) is None
        async with asyncio.timeout(DEADLINE):
            while metrics.registry.get_sample_value("tidegate_monitor_spool_entries"):  # noqa: ASYNC110 - a metric
                await asyncio.sleep(0.02)
    assert answered(metrics) == 2
