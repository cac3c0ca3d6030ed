"""The analyst as a task: it goes on whatever happens, and only one works on a database."""

import asyncio
from pathlib import Path

import httpx
import pytest
from monitorkit import DEADLINE, Clock, Sender, record
from monitorprocess import Place
from prometheus_client import CollectorRegistry

from monitor.analyst import service
from monitor.analyst.gauges import Metrics
from monitor.analyst.service import Analyst
from monitor.outbound.outbox import Outbox
from monitor.store.database import StoreUnavailable
from monitor.store.service import Store


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a fault")])
async def test_a_look_that_fails_is_counted_and_the_next_one_comes(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    registry = CollectorRegistry()
    analyst = Analyst(store, Outbox(store), Metrics(registry), clock)
    looks, again = 0, asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise error
        again.set()

    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(analyst, "look", look)
    work = asyncio.create_task(analyst.run())
    async with asyncio.timeout(DEADLINE):
        await again.wait()
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled()
    assert registry.get_sample_value("tidegate_analyst_failures_total") == 1


async def test_the_monitors_process_looks_at_what_it_stores(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.running(), httpx.AsyncClient(base_url=place.url) as client:
        records = [record(str(n), inputs={"x": [float(n)]}) for n in range(20)]
        answer = await client.post(
            "/internal/v1/records",
            json=Sender().document(*records),
            headers={"authorization": f"Bearer {place.token}"},
        )
        assert answer.status_code == 200
        median = 'model_feature_values{feature="x",model="iris",namespace="default",quantile="0.5",version="v1"} 9.5'
        async with asyncio.timeout(DEADLINE):
            while median not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        text = (await client.get("/metrics")).text
        assert 'model_predictions_total{model="iris",namespace="default",status="2xx",version="v1"} 20.0' in text
