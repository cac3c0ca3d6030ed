"""How many samples, and how much time, a comparison takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needed:
    """So many samples of the stable version and of the candidate, which take so long.

    Copies of requests give both the same samples. `seconds` is None where the traffic is not known.
    """

    stable: int
    candidate: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What finds a difference of `effect` in a metric with probability `power`, at a confidence.

    `samples` says what is counted: `labels`, `rewards`, `requests` or `copies`. `usual` and `deviation` (None for a
    share, whose mean determines it) are those of `basis` samples of `version`, or what was said (0 samples of none).
    `share` is the candidate's of the requests, or of them the copied part; `traffic` the samples a second of all.

    `one_look` is for a test at that number of samples and at no other (`monitor.fixed_horizon`). `watched` is for an
    interval that may be looked at after every request (`monitor.planning`): half of the comparisons end much sooner.
    Both are None while nothing is known of what is usual.
    """

    namespace: str
    model: str
    version: str
    metric: str
    samples: str
    usual: float | None
    deviation: float | None
    basis: int
    effect: float
    share: float
    confidence: float
    power: float
    traffic: float | None
    one_look: Needed | None
    watched: Needed | None
