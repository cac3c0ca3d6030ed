"""Of which requests the values are kept: a share that falls with the traffic, nested and the same everywhere."""

from itertools import pairwise
from math import log
from random import Random

import pytest

from serving.records import RecordsConfig
from serving.records.sampling import EVERY, Sampling

URL = "http://127.0.0.1:1"
RATE = 500.0
SECONDS = 10.0


class Replica:
    """Samples the requests that it is given, and is told of them in blocks, as the recorder does. Its clock is ours."""

    def __init__(self, block=64, **options):
        self.sampling = Sampling(RecordsConfig(URL, **options))
        self._block = block
        self.now = 1_000.0

    def answer(self, ids, per_second):
        """Which of these requests, that come at a steady rate, are chosen."""
        chosen = []
        for number, one in enumerate(ids, 1):
            self.now += 1 / per_second
            if self.sampling.chooses(one):
                chosen.append(one)
            if number % self._block == 0:
                self.sampling.saw(self._block, self.now)
        return chosen


def ids(count, seed=0):
    dice = Random(seed)
    return [b"%032x" % dice.getrandbits(128) for _ in range(count)]


def test_up_to_the_rate_every_request_is_chosen():
    replica, requests = Replica(), ids(20_000)
    assert replica.answer(requests, per_second=RATE * 0.95) == requests
    assert replica.sampling.threshold == EVERY


def test_a_burst_that_the_rate_gives_room_for_is_chosen_whole():
    requests = ids(int(RATE * SECONDS))
    assert Replica().answer(requests, per_second=1e6) == requests


@pytest.mark.parametrize("load", [2, 5, 40])
def test_steady_traffic_above_the_rate_gives_as_many_values_as_the_rate_says(load):
    replica = Replica()
    per_second = load * RATE
    replica.sampling.saw(int(per_second * SECONDS), replica.now)  # what a long time of this traffic leaves
    chosen = replica.answer(ids(100_000), per_second)
    assert len(chosen) / (100_000 / per_second) == pytest.approx(RATE, rel=0.1)


@pytest.mark.parametrize("load", [2, 10, 100])
def test_traffic_that_comes_out_of_nothing_gives_no_more_values_than_is_promised(load):
    per_second = load * RATE
    chosen = Replica().answer(ids(200_000), per_second)
    seconds = 200_000 / per_second
    assert len(chosen) <= 1.05 * RATE * (seconds + SECONDS * (1 + log(load)))


def test_when_traffic_has_gone_down_every_request_is_chosen_again():
    replica = Replica(block=1)
    replica.answer(ids(100_000), per_second=20_000)
    assert replica.sampling.threshold < EVERY / 10
    replica.answer(ids(300), per_second=5)
    requests = ids(100, seed=1)
    assert replica.answer(requests, per_second=5) == requests


def test_what_a_lower_threshold_chooses_a_higher_one_does_too():
    requests = ids(20_000)
    samples = [
        {one for one in requests if Sampling(RecordsConfig(URL, sample=share)).chooses(one)}
        for share in (0, 100, 2_500, 5_000, 9_000, 10_000)
    ]
    assert all(smaller < larger for smaller, larger in pairwise(samples))
    assert (len(samples[0]), samples[-1]) == (0, set(requests))
    assert len(samples[2]) == pytest.approx(5_000, rel=0.1)


def test_of_pairs_the_candidate_keeps_what_the_busier_stable_replica_keeps():
    """Half of the traffic is copied to the candidate, whose threshold is higher for it."""
    stable, candidate = Replica(), Replica()
    for part in range(20):
        requests = ids(4_000, seed=part)
        mirrored = requests[::2]
        one, other = set(stable.answer(requests, 4_000)), set(candidate.answer(mirrored, 2_000))
        if part >= 10:  # both have found their thresholds
            assert stable.sampling.threshold < candidate.sampling.threshold < EVERY
            assert one & set(mirrored) <= other
            assert one & set(mirrored)


def test_a_fixed_share_does_not_move_with_the_traffic():
    replica = Replica(sample=2_500)
    threshold = replica.sampling.threshold
    replica.answer(ids(50_000), per_second=1e5)
    assert replica.sampling.threshold == threshold == EVERY // 4


def test_any_id_may_be_chosen():
    sampling = Sampling(RecordsConfig(URL, rate=1.0, rate_seconds=1.0))
    sampling.saw(2, 1.0)
    assert {sampling.chooses(odd) for odd in (b"", b"\xff\x00", b"x" * 100_000, *ids(50))} == {True, False}
