"""What the controller makes of the monitor's tallies."""

import logging
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from monitor.client import MonitorClient, MonitorUnavailable
from monitor.evidence import Evidence, PairTally
from monitor.tallies import LabelTally, RewardTally, ShareTally, VersionTally
from operators.api import RolloutKey
from operators.monitoring import Monitoring, feedback_of, worth
from operators.observe import VersionFeedback
from operators.ports import Comparison
from operators.status import Tally

IRIS = RolloutKey("default", "iris")
TALLY = VersionTally(
    9, 1, RewardTally(4, 3.0, 2.5, zero_one=False), LabelTally(5, 4), (ShareTally(2_500, 4, 3.0, 2.5),)
)
EVIDENCE = Evidence(pairs=(PairTally(0.01, 100, 99),))


class Client(MonitorClient):
    """Gives what is set, or cannot be reached."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.answer: dict[str, VersionTally] | None = {"b": TALLY}
        self.asked: list[tuple[object, ...]] = []

    async def tallies(self, namespace: str, model: str, since: float) -> dict[str, VersionTally]:
        if self.answer is None:
            raise MonitorUnavailable("the monitor did not answer")
        return self.answer

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
        self.asked.append((namespace, model, since, stable, candidate, list(metrics), list(tolerances)))
        if self.answer is None:
            raise MonitorUnavailable("the monitor did not answer")
        return EVIDENCE


def test_rewards_and_labels_become_tallies() -> None:
    assert feedback_of(TALLY) == VersionFeedback(Tally(4, 3.0, 2.5), Tally(5, 4.0, 4.0), worth=0.75)


def test_a_version_is_worth_what_inverse_propensities_say() -> None:
    """It earns most when its share is small, so that the mean of its rewards says too little."""
    dice, mine = Random(7), []
    for share in (1_000, 5_000, 9_000):
        earned = 0.8 if share == 1_000 else 0.4
        mine += [(share, dice.random() < earned) for _ in range(4_000) if dice.random() < share / 10_000]
    counts, sums = Counter(share for share, _ in mine), Counter(share for share, reward in mine if reward)
    by_share = [ShareTally(share, count, sums[share], sums[share]) for share, count in counts.items()]
    weights = [10_000 / share for share, _ in mine]
    expected = sum(weight * reward for weight, (_, reward) in zip(weights, mine, strict=True)) / sum(weights)
    assert worth(by_share) == pytest.approx(expected)
    assert expected == pytest.approx((0.8 + 0.4 + 0.4) / 3, abs=0.03)
    assert sum(reward for _, reward in mine) / len(mine) < 0.45


def test_a_version_without_rewards_is_worth_nothing_that_is_known() -> None:
    assert worth([]) is None
    assert worth([ShareTally(0, 3, 2.0, 2.0), ShareTally(500, 0, 0.0, 0.0)]) is None


async def test_evidence_is_asked_for_as_the_checks_need_it() -> None:
    client = Client()
    asked = Comparison("a", "b", ("feature-drift", "shadow-agreement"), (0.01,))
    assert await Monitoring(client).evidence(IRIS, 5.0, asked) == EVIDENCE
    assert client.asked == [
        ("default", "iris", 5.0, "a", "b", ["feature-drift", "shadow-agreement"], [0.01]),
    ]
    client.answer = None
    assert await Monitoring(client).evidence(IRIS, 5.0, asked) is None


async def test_a_monitor_that_is_lost_is_said_once_and_so_is_its_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = Client()
    monitoring = Monitoring(client)
    assert await monitoring.feedback(IRIS, 5.0) == {"b": feedback_of(TALLY)}
    client.answer = None
    for _ in range(3):
        assert await monitoring.feedback(IRIS, 5.0) is None
    assert await monitoring.evidence(IRIS, 5.0, Comparison("a", "b", ())) is None
    client.answer = {}
    assert await monitoring.feedback(IRIS, 5.0) == {}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
