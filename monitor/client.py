"""Asks the monitor how versions compare."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
from pydantic import TypeAdapter, ValidationError

from monitor.answers.comparison import ComparisonReport
from monitor.answers.history import PerformanceReport
from monitor.answers.moves import VersionDrift
from monitor.answers.plan import Plan
from monitor.answers.samples import Sample
from monitor.event import Event, Page
from monitor.evidence import Evidence
from monitor.tallies import VersionTally

ANSWER_SECONDS: Final = 5.0
"""How long what gates and experiments ask for may take."""
REPORT_SECONDS: Final = 60.0
"""How long a report for people may take."""

Query = Mapping[str, str | int | float | Sequence[str | float] | None]
T = TypeVar("T")

_COMPARISON: Final = TypeAdapter(ComparisonReport)
_DRIFT: Final = TypeAdapter(VersionDrift)
_EVENTS: Final = TypeAdapter(Page)
_EVIDENCE: Final = TypeAdapter(Evidence)
_PERFORMANCE: Final = TypeAdapter(PerformanceReport)
_PLAN: Final = TypeAdapter(Plan)
_SAMPLE: Final = TypeAdapter(Sample)
_TALLIES: Final = TypeAdapter(dict[str, dict[str, VersionTally]])


class MonitorUnavailable(Exception):
    """The monitor did not answer, or not as it should; the text says why."""


class QuestionRefused(MonitorUnavailable):
    """The monitor has no answer to such a question; the text says what is wrong with it."""


class MonitorClient:
    """A connection to the monitor, kept open. For one event loop. Every question raises `MonitorUnavailable`.

    `url` is the monitor's (`http://host:8090`), `token` its bearer token, None for a monitor without. A file with the
    token is read for every question: tokens are replaced while they are used. Times are seconds since the epoch.
    """

    def __init__(self, url: str, token: str | Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def tallies(self, namespace: str, model: str, since: float) -> Mapping[str, VersionTally]:
        """The live requests that came since then, by version."""
        query: Query = {"namespace": namespace, "model": model, "since": since}
        content = await self._ask("GET", "tallies", ANSWER_SECONDS, query)
        try:
            return self._read(_TALLIES, content)["versions"]
        except KeyError as error:
            raise self._not_understood() from error

    async def evidence(
        self,
        namespace: str,
        model: str,
        since: float,
        *,
        stable: str,
        candidate: str,
        metrics: Sequence[str],
        tolerances: Sequence[float] = (),
    ) -> Evidence:
        """What these metrics of checks decide by, about requests that came since then.

        `shadow-agreement` is counted for each of the tolerances, or for the default one.
        """
        query: Query = {
            "namespace": namespace,
            "model": model,
            "since": since,
            "stable": stable,
            "candidate": candidate,
            "metric": metrics,
            "tolerance": tolerances,
        }
        return self._read(_EVIDENCE, await self._ask("GET", "evidence", ANSWER_SECONDS, query))

    async def compare(
        self,
        namespace: str,
        model: str,
        since: float = 0,
        until: float | None = None,
        *,
        stable: str | None = None,
        candidate: str | None = None,
    ) -> ComparisonReport:
        """How two versions compare, by default the two that were first seen last."""
        query: Query = {
            "namespace": namespace,
            "model": model,
            "since": since,
            "until": until,
            "stable": stable,
            "candidate": candidate,
        }
        return self._read(_COMPARISON, await self._ask("GET", "compare", REPORT_SECONDS, query))

    async def performance(
        self, namespace: str, model: str, since: float = 0, bucket: str | None = None
    ) -> PerformanceReport:
        """How the versions did over time, in buckets such as `15m`, `1h` (the default) or `1d`."""
        query: Query = {"namespace": namespace, "model": model, "since": since, "bucket": bucket}
        return self._read(_PERFORMANCE, await self._ask("GET", "performance", REPORT_SECONDS, query))

    async def drift(
        self,
        namespace: str,
        model: str,
        version: str | None = None,
        *,
        window: int | None = None,
        reference: str | None = None,
    ) -> VersionDrift:
        """Whether a version's newest records moved away from its reference, or from that of another version.

        By default it is the version that was first seen last, and 1,000 records.
        """
        query = {
            "namespace": namespace,
            "model": model,
            "version": version,
            "window": window,
            "reference": reference,
        }
        return self._read(_DRIFT, await self._ask("GET", "drift", REPORT_SECONDS, query))

    async def sample(
        self, namespace: str, model: str, version: str | None = None, *, window: int | None = None
    ) -> Sample:
        """The values that `drift` compares."""
        query = {"namespace": namespace, "model": model, "version": version, "window": window}
        return self._read(_SAMPLE, await self._ask("GET", "sample", REPORT_SECONDS, query))

    async def plan(
        self,
        namespace: str,
        model: str,
        metric: str,
        effect: float,
        *,
        share: float | None = None,
        confidence: float | None = None,
        power: float | None = None,
        version: str | None = None,
        since: float = 0,
    ) -> Plan:
        """What a comparison needs to find a difference, by what a version's records show to be usual."""
        query: Query = {
            "namespace": namespace,
            "model": model,
            "metric": metric,
            "effect": effect,
            "share": share,
            "confidence": confidence,
            "power": power,
            "version": version,
            "since": since,
        }
        return self._read(_PLAN, await self._ask("GET", "plan", REPORT_SECONDS, query))

    async def post_events(self, events: Sequence[Event]) -> None:
        """Have events kept; those that are known already stay as they are."""
        body = [event.model_dump() for event in events]
        await self._ask("POST", "events", ANSWER_SECONDS, {}, body)

    async def events(
        self, namespace: str, model: str | None = None, kind: str | None = None, limit: int | None = None
    ) -> Sequence[Event]:
        """The newest events about a model, or about all of a namespace, newest first."""
        query = {"namespace": namespace, "model": model, "kind": kind, "limit": limit}
        return self._read(_EVENTS, await self._ask("GET", "events", ANSWER_SECONDS, query)).events

    def _read(self, form: TypeAdapter[T], content: bytes) -> T:
        try:
            return form.validate_json(content)
        except ValidationError as error:
            raise self._not_understood() from error

    def _not_understood(self) -> MonitorUnavailable:
        return MonitorUnavailable(
            f"the monitor at {self._url} gave an answer that is not understood: is it of the same release?"
        )

    async def _ask(self, method: str, path: str, seconds: float, query: Query, body: Any = None) -> bytes:
        if self._session is None:
            # Neither a proxy nor credentials of the environment have a place between the operator and the monitor.
            self._session = aiohttp.ClientSession(trust_env=False)
        url, headers = f"{self._url}/internal/v1/{path}", await self._authorization()
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(
                method, url, params=_pairs(query), json=body, headers=headers, timeout=timeout
            ) as answer:
                content = await answer.read()
        except TimeoutError as error:
            raise MonitorUnavailable(f"the monitor at {self._url} did not answer within {seconds:g} seconds") from error
        except aiohttp.ClientError as error:
            raise MonitorUnavailable(f"the monitor at {self._url} cannot be reached: {error}") from error
        if answer.status == 401:
            raise MonitorUnavailable(f"the monitor at {self._url} refused the token: the operator needs the monitor's")
        if answer.status == 400:
            raise QuestionRefused(f"the monitor at {self._url} refused the question: {_error(content)}")
        if answer.status != 200:
            said = content[:200].decode(errors="replace").strip()
            raise MonitorUnavailable(f"the monitor at {self._url} answered {answer.status}: {said}")
        return content

    async def _authorization(self) -> Mapping[str, str]:
        token = self._token
        if isinstance(token, Path):
            try:
                token = (await asyncio.to_thread(token.read_text)).strip()
            except (OSError, UnicodeError) as error:
                said = f"the token for the monitor at {self._url} cannot be read from {token}: {type(error).__name__}"
                raise MonitorUnavailable(said) from error
            if not token.isprintable():
                raise MonitorUnavailable(
                    f"{self._token} must hold the token for the monitor at {self._url}, on one line"
                )
        return {"authorization": f"Bearer {token}"} if token else {}


def _error(content: bytes) -> str:
    """What an error's body says."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, TypeError, KeyError):
        return content[:200].decode(errors="replace").strip()


def _pairs(query: Query) -> list[tuple[str, str]]:
    """The parameters that have a value, a list's each by itself."""
    found = []
    for name, value in query.items():
        every = [value] if isinstance(value, str | int | float) else value or ()
        found += [(name, repr(one) if isinstance(one, float) else str(one)) for one in every]
    return found
