"""What members were asked, as counters."""

import threading
from collections import Counter

from serving.many.gauges import COUNTERS, Reporter
from serving.many.tally import Counts

TAGS = {"namespace": "team", "model": "fleet", "version": "v1"}


class Told:
    """A counter by member."""

    def __init__(self):
        self.values = Counter()
        self.tags = []
        self.told = threading.Event()

    def inc(self, value, tags):
        assert value > 0
        self.values[tags["member"]] += value
        self.tags.append(tags)
        self.told.set()


def test_counters_grow_by_what_was_added_and_only_for_members_that_were_asked():
    counts = {"a": Counts(requests=3, errors=1, seconds=0.5, loads=1), "b": Counts(failures=2)}
    counters = {name: Told() for name in COUNTERS}
    reporter = Reporter(lambda: [*counts.items()], counters, TAGS)
    reporter.tell()
    reporter.tell()
    counts["a"].requests += 4
    counts["a"].evictions += 1
    reporter.tell()
    assert {name: dict(counter.values) for name, counter in counters.items()} == {
        "requests": {"a": 7},
        "errors": {"a": 1},
        "seconds": {"a": 0.5},
        "loads": {"a": 1},
        "failures": {"b": 2},
        "evictions": {"a": 1},
    }
    assert counters["failures"].tags == [TAGS | {"member": "b"}]


def test_what_is_left_is_told_at_the_end():
    counters = {"requests": Told()}
    reporter = Reporter(lambda: [("a", Counts(requests=1))], counters, TAGS)
    reporter.start()
    reporter.close()
    assert counters["requests"].told.wait(30)
    assert counters["requests"].values == {"a": 1}
