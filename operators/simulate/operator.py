"""When the controller would look at the rollout, and what it would see.

What decides is used as it is: `reconcile`, the strategies, `Windows`. The controller around them is not: it is tasks
that wait for four ports, and on a clock that jumps it would need those ports, an event loop, polls of Ray Serve and
more than twice the time. What is left of it, when it looks, stands here once more in a few lines. One look is left out:
the one after a look that changed nothing but verdicts, figures and words. What the monitor and others say is known as
soon as it is asked for.
The tests hold this against the real controller.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Final

from monitor.evidence import Evidence
from operators.controller import SETTLE_SECONDS
from operators.inquiries import STALE_INTERVALS, judged
from operators.observe import Measured, Observed, VersionFeedback
from operators.plan import Plan
from operators.reconcile import reconcile
from operators.simulate.world import World
from operators.status import RolloutStatus
from operators.traffic import Windows

START: Final = 1_700_000_000.0
"""When the manifest is applied, in seconds since the epoch. Any time would do."""


class Operator:
    """Decides about the rollout of a world. It keeps what the controller keeps in memory."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._windows = Windows()
        self._feedback: Mapping[str, VersionFeedback] | None = None
        self._evidence: Evidence | None = None
        self._measured: Mapping[str, Measured] = {}
        self._read_due = 0.0
        self.looks_at = 0.0
        """When time alone may change the decision; infinity when only something new can."""

    def look(self, world: World) -> tuple[World, Plan]:
        """Decide, and carry the decision out."""
        plan = reconcile(world.rollout, self._observe(world))
        before, after = world.rollout.status, world.carried_out(plan)
        if plan.status.evidence_since != before.evidence_since:
            self._read_due = world.now
            self._forget()
        if not judged(after.rollout):
            self._windows.forget(after.key)
            self._forget()
        self.looks_at = world.now + SETTLE_SECONDS if _moved(before, plan.status) else self._next(after, plan)
        return after, plan

    def _observe(self, world: World) -> Observed:
        rollout, key, now = world.rollout, world.key, START + world.now
        since, interval = rollout.status.evidence_since, rollout.spec.analysis.interval
        if since is not None and judged(rollout) and self._read_due <= world.now:
            self._read_due = world.now + interval
            self._windows.read(key, since, world.counters, now)
            self._feedback, self._evidence, self._measured = world.feedback, world.evidence, world.measured
        evidence = self._windows.evidence(key, since, now, STALE_INTERVALS * interval)
        return Observed(
            now=now,
            serve=world.serve,
            route=world.route,
            traffic=evidence,
            counting_since=self._windows.counting_since(key, since),
            feedback=self._feedback,
            evidence=self._evidence,
            measured=self._measured,
        )

    def _forget(self) -> None:
        self._feedback, self._evidence, self._measured = None, None, {}

    def _next(self, world: World, plan: Plan) -> float:
        due = inf if plan.requeue_after is None else world.now + plan.requeue_after
        return min(due, max(self._read_due, world.now + SETTLE_SECONDS)) if judged(world.rollout) else due


def _moved(before: RolloutStatus, after: RolloutStatus) -> bool:
    """Whether more than the words, verdicts and figures of the status changed: then the decision may go on at once."""
    same = replace(before, checks=after.checks, message=after.message, conditions=after.conditions)
    return replace(same, experiment=after.experiment) != after
