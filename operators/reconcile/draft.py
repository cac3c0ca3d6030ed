"""The status under construction, and the few changes that can be made to it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from operators.api import ModelRollout, full_size, revision_of, sizes_of
from operators.observe import Observed
from operators.plan import Command, Event, Promotion
from operators.reconcile.traffic import endpoints_of, route_of, wanted_weights
from operators.status import Candidate, Decision, Retiring, Revision, RolloutStatus, Variant
from operators.strategies import REPLACE, Shares, Strategy, strategy_for
from router.ir import Route
from serving.spec import TargetPhase, TargetState

TYPED: Final = "tidegate {command} {name}"
"""How people type a command about a rollout; `{namespace}` is known, too."""
HISTORY_KEPT: Final = 30
"""Lines of history in a status."""
MISSING: Final = TargetState(TargetPhase.MISSING)


class Draft:
    """One decision in the making: the facts, the status so far, and what there is to tell.

    It lives for one call of `reconcile`. All times it writes are whole milliseconds, as the stored status has them.
    """

    def __init__(self, rollout: ModelRollout, observed: Observed, typed: str = TYPED) -> None:
        """Start from the status as it was stored."""
        self._typed = typed
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

    def typed(self, command: str) -> str:
        """A command about this rollout, as a person types it."""
        metadata = self.rollout.metadata
        return self._typed.format(command=command, name=metadata.name, namespace=metadata.namespace)

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
        yield from (variant.revision for variant in self.taking_part)
        if self.status.stable is not None:
            yield self.status.stable
        yield from (retiring.revision for retiring in self.status.retiring)

    @property
    def taking_part(self) -> tuple[Variant, ...]:
        """The variants of the experiment that were not taken out."""
        return tuple(variant for variant in self.status.variants if not variant.failure)

    @property
    def size(self) -> int:
        """How many replicas the candidate is meant to have, at least."""
        return self.status.replicas or self.full

    @property
    def full(self) -> int:
        """How many replicas a version must have to take the requests over."""
        return full_size(self.rollout.spec.serving, self.status.stable_ready)

    def size_of(self, revision: Revision) -> int | None:
        """How many replicas a version is meant to have, where that is not the manifest's number."""
        return sizes_of(self.rollout.spec.serving, self.status).get(revision.id)

    @property
    def shares(self) -> Shares:
        """What the candidate is meant to get."""
        status = self.status
        return Shares(status.weight, status.shadow, status.selected, status.replicas)

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

    @property
    def forced(self) -> bool:
        """Whether somebody asks to promote in spite of failed checks."""
        try:
            return Promotion.parse(self.rollout.commands.get(Command.PROMOTE, "step")).force
        except ValueError:
            return False  # it is refused

    def state(self, revision: Revision) -> TargetState:
        """What Ray Serve says of a version."""
        return (self.observed.serve or {}).get(revision.id, MISSING)

    def route(self) -> Route:
        """The route that follows from the status so far."""
        return route_of(self.rollout, self.status, self.observed, self.now)

    def in_force(self) -> bool:
        """Whether every router runs the route of the status so far, with what the versions are meant to get.

        That is less while they have no endpoints.
        """
        route, status = self.route(), self.status
        if self.observed.route.published != route or not self.observed.route.acknowledged:
            return False
        wanted = wanted_weights(status)
        given = {backend.version: backend.weight for backend in route.backends}
        shadow = route.mirror.share if route.mirror is not None else 0
        if not wanted or any(given[version] < weight for version, weight in wanted.items()):
            return False
        # While stable has no endpoints, its requests go to the others, and where those get none there are none.
        alone = status.stable is not None and not endpoints_of(self.observed, status.stable.id)
        if alone and not any(given.values()):
            return True
        exact = all(given[version] == weight for version, weight in wanted.items())
        return (alone or exact) and (shadow, route.selection is not None) == (status.shadow, status.selected)

    # Changes.

    def change(self, **fields: Any) -> None:
        """Replace fields of the status."""
        self.status = replace(self.status, **fields)

    def give(self, shares: Shares) -> None:
        """Note what the candidate is meant to get from now on."""
        self.change(weight=shares.weight, shadow=shares.shadow, selected=shares.selected, replicas=shares.replicas)

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
        variants = (
            replace(one, ready=0 if one.failure else len(endpoints_of(self.observed, one.revision.id)))
            for one in self.status.variants
        )
        self.change(variants=tuple(variants))

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
        self.change(candidate=candidate, retiring=retiring)
        self._before_the_first_step()
        self.tell("Started", f"{revision.id} starts: {why}", revision.id)

    def follow_strategy(self) -> None:
        """Take a candidate back to before the first step when the steps that it went through are another strategy's.

        What it got there may be what it must not get here, and what it was tried on proves nothing here.
        """
        candidate = self.status.candidate
        if candidate is None or self.status.strategy == self.strategy.kind:
            return
        version, begun = candidate.revision.id, self.status.step is not None
        if self.wanted.id not in (version, self.status.failed):
            return  # it is about to give way to another version
        self._before_the_first_step()
        if begun:
            self.tell("StartedOver", f"{version} starts over: it is rolled out in another way now", version)

    def _before_the_first_step(self) -> None:
        strategy = self.strategy
        self.change(checks=(), experiment=None, **_NOT_STARTED | {"strategy": strategy.kind})
        if strategy.count:
            self.change(replicas=strategy.shares(0, Shares()).replicas)  # it starts in the size of its first step

    def retire_candidate(self, delayed: bool = True) -> None:
        """Take the candidate off its way; one that was ready keeps its replicas for a while if `delayed`."""
        candidate = self.status.candidate
        if candidate is not None:
            stay = delayed and self.status.step is not None
            self.change(candidate=None, retiring=self.retiring(candidate.revision, stay), **_NOT_STARTED)

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
            message += f"; it is not tried again until the spec changes or you say `{self.typed('retry')}`"
        # The manifest's version was given up before a version that somebody went back to: it stays so.
        self.change(failed=wanted if version == wanted else self.status.failed, failure=message)
        self.tell("Aborted", message, version, warning=True)

    def install(self, revision: Revision, ready: int) -> None:
        """Make a version stable that takes all requests; the one before it stays a while for an instant `undo`."""
        before = self.status.stable
        stable = replace(revision, promoted_at=self.now)
        former = (one for one in self.status.revisions if one.id != stable.id)
        kept = (stable, *former)[: 1 + self.rollout.spec.revision_history_limit]
        retiring = self.status.retiring if before is None else self.retiring(before, stay=True)
        self.change(stable=stable, stable_ready=ready, candidate=None, retiring=retiring, revisions=kept)
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

    def retiring(self, revision: Revision, stay: bool) -> tuple[Retiring, ...]:
        """The retiring versions and this one; its replicas stay for a while if `stay`."""
        delay = self.rollout.spec.scale_down_delay_seconds if stay else 0
        return (*self.status.retiring, Retiring(revision, round(self.now + delay, 3), self.size_of(revision)))


_NOT_STARTED: Final[dict[str, Any]] = {
    "strategy": None,
    "step": None,
    "step_started_at": None,
    "weight": 0,
    "shadow": 0,
    "selected": False,
    "replicas": None,
    "evidence_since": None,
    "awaits_promotion": False,
}
"""The part of a status that belongs to the steps of a candidate, before the first of them."""
