"""What others are asked to know about a rollout: the monitor about feedback and predictions, anybody about metrics.

Each answer belongs to a window of evidence and is never handed out for another one.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.evidence import Evidence
from operators.api import ModelRollout, PrometheusQuery, RolloutKey, WebQuery
from operators.askloop import AskLoop
from operators.experiment import FEEDBACK, goal_of
from operators.observe import Measured, VersionFeedback
from operators.ports import Clock, Comparison, MetricsPort, MonitorPort, NotMeasured
from operators.providers.template import fill

STALE_INTERVALS: Final = 2.5
"""Evidence that was not renewed for so many analysis intervals is stale."""
AT_ONCE: Final = 16
"""Questions that wait for the monitor's answer at a time, and as many for those of others."""
READINGS: Final = 100
"""The newest readings of a metric that are kept, unless its check needs more."""
MEASURING_SECONDS: Final = 8.0
"""The time after which a metric counts as not measured."""


@dataclass(frozen=True, slots=True)
class _About:
    """A question about what happened since `since` (seconds since the epoch), to be asked every `interval` seconds."""

    since: float
    interval: float


@dataclass(frozen=True, slots=True)
class _Comparing(_About):
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class _Measuring(_About):
    metric: PrometheusQuery | WebQuery
    keep: int


class Inquiries:
    """Asks what must be known to decide about rollouts. `on_change` is called when something else is known of some."""

    def __init__(
        self,
        monitor: MonitorPort | None,
        metrics: MetricsPort | None,
        clock: Clock,
        on_change: Callable[[Sequence[RolloutKey]], None],
    ) -> None:
        """Of what there is no port for, nothing is ever known."""
        self._monitor = monitor
        self._metrics = metrics
        self._wanted: dict[RolloutKey, tuple[str, ...]] = {}
        of_monitor, of_others = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

        def changed(key: RolloutKey) -> None:
            on_change([key])

        self._feedback = AskLoop(self._ask_feedback, changed, clock, of_monitor)
        self._evidence = AskLoop(self._compare, changed, clock, of_monitor)
        self._measured = AskLoop(self._measure, lambda subject: on_change([subject[0]]), clock, of_others)

    def want(self, rollout: ModelRollout) -> None:
        """Ask what its status and its manifest need from now on, and nothing else."""
        key, measuring = rollout.key, _measuring(rollout)
        self._feedback.want(key, _about_feedback(rollout))
        self._evidence.want(key, _comparing(rollout))
        for check in self._wanted.get(key, ()):
            if check not in measuring:
                self._measured.want((key, check), None)
        for check, question in measuring.items():
            self._measured.want((key, check), question)
        self._wanted[key] = tuple(measuring)

    def forget(self, key: RolloutKey) -> None:
        """Ask nothing about a rollout any more."""
        self._feedback.want(key, None)
        self._evidence.want(key, None)
        for check in self._wanted.pop(key, ()):
            self._measured.want((key, check), None)

    def feedback(self, rollout: ModelRollout) -> Mapping[str, VersionFeedback] | None:
        """What people said since the rollout's experiment began; see `Observed.feedback`."""
        return self._feedback.known(rollout.key, _about_feedback(rollout), _max_age(rollout))

    def evidence(self, rollout: ModelRollout) -> Evidence | None:
        """How the candidate's answers compare with the stable version's; see `Observed.evidence`."""
        return self._evidence.known(rollout.key, _comparing(rollout), _max_age(rollout))

    def measured(self, rollout: ModelRollout) -> Mapping[str, Measured]:
        """What others say for each check that asks them; see `Observed.measured`."""
        known = {
            check: self._measured.known((rollout.key, check), question, _max_age(rollout))
            for check, question in _measuring(rollout).items()
        }
        return {check: measured for check, measured in known.items() if measured is not None}

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._monitor is not None:
                tasks.create_task(self._feedback.run())
                tasks.create_task(self._evidence.run())
            if self._metrics is not None:
                tasks.create_task(self._measured.run())

    async def _ask_feedback(
        self, key: RolloutKey, about: _About, _before: Mapping[str, VersionFeedback] | None
    ) -> Mapping[str, VersionFeedback] | None:
        return None if self._monitor is None else await self._monitor.feedback(key, about.since)

    async def _compare(self, key: RolloutKey, about: _Comparing, _before: Evidence | None) -> Evidence | None:
        return None if self._monitor is None else await self._monitor.evidence(key, about.since, about.comparison)

    async def _measure(
        self, _subject: tuple[RolloutKey, str], about: _Measuring, before: Measured | None
    ) -> Measured | None:
        if self._metrics is None:
            return None
        values = before.values if before is not None else ()
        try:
            async with asyncio.timeout(MEASURING_SECONDS):
                value = await self._metrics.measure(about.metric)
        except NotMeasured as error:
            return Measured(values, str(error))
        except TimeoutError:
            return Measured(values, f"there was no answer within {MEASURING_SECONDS:g} seconds")
        return Measured((*values, value)[-about.keep :])


def judged(rollout: ModelRollout) -> bool:
    """Whether evidence is being gathered about a candidate or variants, for checks or an experiment to judge."""
    status = rollout.status
    under_way = status.candidate is not None or bool(status.variants)
    asked = bool(rollout.spec.analysis.checks) or status.experiment is not None
    return under_way and status.evidence_since is not None and asked


def _max_age(rollout: ModelRollout) -> float:
    return STALE_INTERVALS * rollout.spec.analysis.interval


def _about_feedback(rollout: ModelRollout) -> _About | None:
    """What must be known of feedback to decide about an experiment."""
    experiment, goal = rollout.status.experiment, goal_of(rollout.spec.strategy)
    if experiment is None or goal is None or goal.metric not in FEEDBACK or not judged(rollout):
        return None
    return _About(experiment.started_at, rollout.spec.analysis.interval)


def _comparing(rollout: ModelRollout) -> _Comparing | None:
    """What must be known of a candidate's answers to judge it by the checks on predictions."""
    status, analysis = rollout.status, rollout.spec.analysis
    checks = [check for check in analysis.checks if check.predicted]
    if not checks or status.evidence_since is None or status.stable is None or status.candidate is None:
        return None
    comparison = Comparison(
        stable=status.stable.id,
        candidate=status.candidate.revision.id,
        metrics=tuple(sorted({check.subject for check in checks})),
        tolerances=tuple(sorted({check.allowed_difference for check in checks if check.metric == "shadow-agreement"})),
    )
    return _Comparing(status.evidence_since, analysis.interval, comparison)


def _measuring(rollout: ModelRollout) -> Mapping[str, _Measuring]:
    """What others must be asked, by the names of the checks."""
    status, analysis = rollout.status, rollout.spec.analysis
    if status.evidence_since is None or status.stable is None or status.candidate is None:
        return {}
    names = {
        "version": status.candidate.revision.id,
        "stable": status.stable.id,
        "model": rollout.key.name,
        "namespace": rollout.key.namespace,
    }
    return {
        check.name: _Measuring(
            status.evidence_since, analysis.interval, _filled(asked, names), max(READINGS, check.failure_limit + 1)
        )
        for check in analysis.checks
        if (asked := check.prometheus or check.web) is not None
    }


def _filled(asked: PrometheusQuery | WebQuery, names: Mapping[str, str]) -> PrometheusQuery | WebQuery:
    if isinstance(asked, PrometheusQuery):
        return asked.model_copy(update={"query": fill(asked.query, names)})
    return asked.model_copy(update={"url": fill(asked.url, names)})
