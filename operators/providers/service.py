"""Everybody who may be asked for a metric, as one port of the controller."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from operators.api import PrometheusQuery, WebQuery
from operators.ports import Clock, NotMeasured
from operators.providers.http import session
from operators.providers.prometheus import Prometheus
from operators.providers.settings import URL_VARIABLE, ProviderSettings
from operators.providers.web import Web


class Providers:
    """A `MetricsPort` over Prometheus, if there is one, and the web."""

    def __init__(self, prometheus: Prometheus | None, web: Web) -> None:
        self._prometheus = prometheus
        self._web = web

    async def measure(self, metric: PrometheusQuery | WebQuery) -> float:
        """See `MetricsPort.measure`."""
        if isinstance(metric, WebQuery):
            return await self._web.value(metric)
        if self._prometheus is None:
            raise NotMeasured(f"the operator was started without a Prometheus: {URL_VARIABLE} is not set")
        return await self._prometheus.value(metric.query)


@asynccontextmanager
async def providers(settings: ProviderSettings, clock: Clock, *, guarded: bool = True) -> AsyncIterator[Providers]:
    """Their connections, open during the block. For `guarded` see `Web`."""
    async with session() as connections, Web(settings.web_hosts, guarded=guarded) as web:
        url, token_file = settings.prometheus_url, settings.prometheus_token_file
        yield Providers(Prometheus(connections, url, token_file, clock) if url else None, web)
