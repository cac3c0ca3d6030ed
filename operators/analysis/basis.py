"""What checks are judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.evidence import Evidence
from operators.observe import Measured, VersionTraffic
from operators.status import CheckResult
from router.ir import TrafficCounters


@dataclass(frozen=True, slots=True)
class Basis:
    """All that is known of a candidate and the stable version since the traffic was divided as it is.

    `candidate` and `stable` are the requests that count for each, None where they could not be counted; the ids name
    the versions within `evidence`, which is None while the monitor says nothing. `measured` has what others say, by the
    names of checks. `live`: users' requests reach the candidate; `copies`: copies of them do. `before` are the results
    of the checks so far, for those that are not judged now.
    """

    stable_id: str = ""
    candidate_id: str = ""
    stable: TrafficCounters | None = None
    candidate: TrafficCounters | None = None
    evidence: Evidence | None = None
    measured: Mapping[str, Measured] = field(default_factory=dict)
    live: bool = True
    copies: bool = False
    before: Sequence[CheckResult] = ()


def evidence(traffic: VersionTraffic | None, live: bool) -> TrafficCounters | None:
    """The requests that a candidate is judged by.

    Live ones as soon as it gets any share of them, as they are what users see; mirrored copies, which are shed under
    load and never retried, only before that.
    """
    if traffic is None:
        return None
    return traffic.live if live else traffic.mirrored
