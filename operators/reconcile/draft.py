"""The status under construction, and the few changes that can be made to it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from operators.api import ModelRollout, revision_of
from operators.observe import Observed
from operators.plan import Command, Event
from operators.reconcile.traffic import endpoints_of, route_of
from operators.status import Candidate, Decision, Retiring, Revision, RolloutStatus
from operators.strategies import REPLACE, Strategy, strategy_for
from router.ir import Route
from serving.spec import TargetPhase, TargetState

HISTORY_KEPT: Final = 30
"""Lines of history in a status."""
MISSING: Final = TargetState(TargetPhase.MISSING)


class Draft:
    """One decision in the making: the facts, the status so far, and what there is to tell.

    It lives for one call of `reconcile`. All times it writes are whole milliseconds, as the stored status has them.
    """

    def __init__(self, rollout: ModelRollout, observed: Observed) -> None:
        """Start from the status as it was stored."""
        self.rollout = rollout
        self.observed = observed
        self.now = round(observed.now, 3)
        self.wanted = revision_of(rollout)
        """The version that the manifest asks for."""
        self.status: RolloutStatus = rollout.status
        self.events: list[Event] = []
        self.consumed: list[Command] = []
        self.waiting = ""
        """What the step in work waits for, in words."""
        self._wakes: list[float] = []

    # Facts.

    @property
    def name(self) -> str:
        """The rollout's name, as commands take it."""
        return self.rollout.metadata.name

    @property
    def candidate(self) -> Candidate:
        """The candidate, for those who have seen that there is one. Raises `LookupError` otherwise."""
        if self.status.candidate is None:
            raise LookupError(f"nothing is rolling out in {self.rollout.key}")
        return self.status.candidate

    @property
    def step(self) -> int:
        """The step in work, for those who have seen that there is one. Raises `LookupError` otherwise."""
        if self.status.step is None:
            raise LookupError(f"no step of {self.rollout.key} has begun")
        return self.status.step

    @property
    def versions(self) -> Iterator[Revision]:
        """Every version that must run."""
        if self.status.candidate is not None:
            yield self.status.candidate.revision
        if self.status.stable is not None:
            yield self.status.stable
        yield from (retiring.revision for retiring in self.status.retiring)

    @property
    def strategy(self) -> Strategy:
        """How the candidate becomes stable: without steps if it is the first, or comes back."""
        status = self.status
        if status.candidate is None or status.stable is None:
            return REPLACE
        version = status.candidate.revision.id
        recent = {revision.id for revision in status.revisions[1 : 1 + self.rollout.spec.rollback_window]}
        undone = version != self.wanted.id
        return REPLACE if undone or version in recent else strategy_for(self.rollout)

    def state(self, revision: Revision) -> TargetState:
        """What Ray Serve says of a version."""
        return (self.observed.serve or {}).get(revision.id, MISSING)

    def route(self) -> Route:
        """The route that follows from the status so far."""
        return route_of(self.rollout, self.status, self.observed, self.now)

    def in_force(self) -> bool:
        """Whether every router runs the route of the status so far, with the shares that the candidate is meant to get.

        They are less while it has no endpoints.
        """
        route, candidate = self.route(), self.status.candidate
        if candidate is None or self.observed.route.published != route or not self.observed.route.acknowledged:
            return False
        weight = next(one.weight for one in route.backends if one.version == candidate.revision.id)
        shadow = route.mirror.share if route.mirror is not None else 0
        return (weight, shadow) == (self.status.weight, self.status.shadow)

    # Changes.

    def change(self, **fields: Any) -> None:
        """Replace fields of the status."""
        self.status = replace(self.status, **fields)

    def tell(self, reason: str, message: str, version: str, warning: bool = False) -> None:
        """Note a decision: an event, and a line of history."""
        self.events.append(Event(reason, message, warning))
        history = (*self.status.history, Decision(self.now, reason, message, version))
        self.change(history=history[-HISTORY_KEPT:])

    def wake(self, at: float) -> None:
        """Ask to be called again at a time; one that is over asks for nothing."""
        if at > self.now:
            self._wakes.append(at)

    def requeue_after(self) -> float | None:
        """Seconds until the first of the times that matter."""
        return max(min(self._wakes) - self.observed.now, 0.0) if self._wakes else None

    def count_ready(self) -> None:
        """Note how many replicas answer; without Ray Serve's word the last counts stand."""
        if self.observed.serve is None:
            return
        stable, candidate = self.status.stable, self.status.candidate
        if stable is not None:
            self.change(stable_ready=len(endpoints_of(self.observed, stable.id)))
        if candidate is not None:
            ready = len(endpoints_of(self.observed, candidate.revision.id))
            self.change(candidate=replace(candidate, ready=ready))

    def may_begin(self, revision: Revision) -> bool:
        """Whether Ray Serve shows no failure of the version from the last time.

        A failed version must be gone before it is tried again, or the old failure would be taken for a new one.
        """
        return self.state(revision).phase is not TargetPhase.FAILED

    def begin(self, revision: Revision, why: str) -> None:
        """Make a version the candidate."""
        retiring = tuple(one for one in self.status.retiring if one.revision.id != revision.id)
        candidate = Candidate(
            replace(revision, promoted_at=None), self.now, len(endpoints_of(self.observed, revision.id))
        )
        self.change(candidate=candidate, retiring=retiring, checks=(), **_NOT_STARTED)
        self.tell("Started", f"{revision.id} starts: {why}", revision.id)

    def retire_candidate(self, delayed: bool = True) -> None:
        """Take the candidate off its way; one that was ready keeps its replicas for a while if `delayed`."""
        candidate = self.status.candidate
        if candidate is not None:
            stay = delayed and self.status.step is not None
            self.change(candidate=None, retiring=self._retiring(candidate.revision, stay), **_NOT_STARTED)

    def abort(self, why: str, delayed: bool = True) -> None:
        """Take all traffic from the candidate at once, and do not try it again by itself."""
        candidate, stable = self.status.candidate, self.status.stable
        if candidate is None:
            return
        version = candidate.revision.id
        rest = f"{stable.id} serves all requests" if stable else "there is no other version, requests get 503"
        message = f"{version} was aborted: {why}; {rest}"
        self.retire_candidate(delayed)
        wanted = self.wanted.id
        if version == wanted:
            message += f"; it is not tried again until the spec changes or you say `tidegate retry {self.name}`"
        # The manifest's version was given up before a version that somebody went back to: it stays so.
        self.change(failed=wanted if version == wanted else self.status.failed, failure=message)
        self.tell("Aborted", message, version, warning=True)

    def promote(self) -> None:
        """Make the candidate stable; the version before it stays a while for an instant `undo`."""
        candidate, before = self.status.candidate, self.status.stable
        if candidate is None:
            return
        stable = replace(candidate.revision, promoted_at=self.now)
        former = (revision for revision in self.status.revisions if revision.id != stable.id)
        kept = (stable, *former)[: 1 + self.rollout.spec.revision_history_limit]
        retiring = self.status.retiring if before is None else self._retiring(before, stay=True)
        self.change(stable=stable, stable_ready=candidate.ready, candidate=None, retiring=retiring, revisions=kept)
        self.change(failure="", **_NOT_STARTED)
        instead = f" instead of {before.id}" if before else ""
        self.tell("Promoted", f"{stable.id} is stable{instead} and serves all requests", stable.id)

    def drop_retired(self) -> None:
        """Let versions go whose time is over and that no router names any more."""
        route, kept = self.observed.route, []
        named = {backend.version for backend in route.published.backends} if route.published else set()
        for one in self.status.retiring:
            self.wake(one.until)
            if one.until > self.now or one.revision.id in named or not route.acknowledged:
                kept.append(one)
        self.change(retiring=tuple(kept))

    def _retiring(self, revision: Revision, stay: bool) -> tuple[Retiring, ...]:
        delay = self.rollout.spec.scale_down_delay_seconds if stay else 0
        return (*self.status.retiring, Retiring(revision, round(self.now + delay, 3)))


_NOT_STARTED: Final[dict[str, Any]] = {
    "step": None,
    "step_started_at": None,
    "weight": 0,
    "shadow": 0,
    "evidence_since": None,
    "awaits_promotion": False,
}
"""The part of a status that belongs to the steps of a candidate, before the first of them."""
