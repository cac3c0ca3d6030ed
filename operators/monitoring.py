"""The monitor, as the controller asks it."""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from monitor.client import MonitorClient, MonitorUnavailable
from monitor.evidence import Evidence
from monitor.tallies import ShareTally, VersionTally
from operators.api import RolloutKey
from operators.observe import VersionFeedback
from operators.ports import Comparison
from operators.status import Tally
from router.ir import BASIS_POINTS

A = TypeVar("A")

log = logging.getLogger(__name__)


class Monitoring:
    """A `MonitorPort` over the monitor's HTTP API. Says once when the monitor is lost, and when it is back."""

    def __init__(self, client: MonitorClient) -> None:
        self._client = client
        self._lost = False

    async def feedback(self, key: RolloutKey, since: float) -> Mapping[str, VersionFeedback] | None:
        """See `MonitorPort.feedback`."""
        tallies = await self._asked(self._client.tallies(key.namespace, key.name, since))
        return None if tallies is None else {version: feedback_of(tally) for version, tally in tallies.items()}

    async def evidence(self, key: RolloutKey, since: float, comparison: Comparison) -> Evidence | None:
        """See `MonitorPort.evidence`."""
        answer = self._client.evidence(
            key.namespace,
            key.name,
            since,
            stable=comparison.stable,
            candidate=comparison.candidate,
            metrics=comparison.metrics,
            tolerances=comparison.tolerances,
        )
        return await self._asked(answer)

    async def _asked(self, answer: Awaitable[A]) -> A | None:
        try:
            known = await answer
        except MonitorUnavailable as error:
            if not self._lost:
                log.warning("the monitor cannot be reached: %s; what needs it waits, traffic stays", error)
            self._lost = True
            return None
        if self._lost:
            log.info("the monitor answers again")
        self._lost = False
        return known


def feedback_of(tally: VersionTally) -> VersionFeedback:
    """What people said about one version."""
    rewards, correct = tally.rewards, float(tally.labels.correct)
    return VersionFeedback(
        rewards=Tally(rewards.count, rewards.sum, rewards.squares),
        labels=Tally(tally.labels.count, correct, correct),
        worth=worth(tally.by_share),
    )


def worth(by_share: Sequence[ShareTally]) -> float | None:
    """The reward per request that a version would get if it answered all of them; None without any.

    The self-normalised estimate by inverse propensities: every reward counts as much as the share with which its
    version was chosen was small. A. Swaminathan, T. Joachims, The self-normalized estimator for
    counterfactual learning, NIPS 2015, 3231-3239.
    """
    weighed = [(one, BASIS_POINTS / one.share) for one in by_share if one.share > 0 and one.count > 0]
    total = sum(one.count * weight for one, weight in weighed)
    return sum(one.sum * weight for one, weight in weighed) / total if total else None
