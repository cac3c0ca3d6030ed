"""Windows of evidence: what the versions of a rollout answered since their traffic shares last changed.

The routers count since they began to; a check wants to know what happened since `RolloutStatus.evidence_since`. A
window keeps the first reading after that moment as its baseline, and the evidence is the newest reading minus the
baseline. Windows live in memory only: after a restart of the operator they begin anew, which makes checks inconclusive
for a while and can never make them pass or fail wrongly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from operators.observe import VersionTraffic
from router.ir import BackendKey, RouteKey, TrafficCounters

Reading = Mapping[BackendKey, TrafficCounters]
"""Cumulative counters per version, as `RouterPort.traffic` gives them."""


@dataclass(frozen=True, slots=True)
class Window:
    """The evidence of one rollout: `latest` minus `baseline`.

    `baseline` was read at `began_at`, `latest` at `read_at`, in seconds since the epoch.
    """

    since: float
    began_at: float
    baseline: Reading
    latest: Reading
    read_at: float


class Windows:
    """The windows of all rollouts that are being judged."""

    def __init__(self) -> None:
        """Start with none."""
        self._windows: dict[RouteKey, Window] = {}

    def read(self, key: RouteKey, since: float, counters: Reading, now: float) -> None:
        """Take a reading of the whole fleet into the window of `key`.

        The window begins anew, with this reading as its baseline, when `since` changed or when a counter went
        backwards: then the router was restarted and counts from zero.
        """
        mine = {backend: value for backend, value in counters.items() if backend.route == key}
        window = self._windows.get(key)
        if window is None or window.since != since or _went_backwards(window.latest, mine):
            self._windows[key] = Window(since, began_at=now, baseline=mine, latest=mine, read_at=now)
        else:
            self._windows[key] = replace(window, latest=mine, read_at=now)

    def evidence(
        self, key: RouteKey, since: float | None, now: float, max_age: float
    ) -> Mapping[str, VersionTraffic] | None:
        """Each version's traffic since `since`, None when it was not read for `max_age` seconds or never."""
        window = self._windows.get(key)
        if window is None or window.since != since or now - window.read_at > max_age:
            return None
        gained = {
            backend: difference(value, window.baseline.get(backend, TrafficCounters()))
            for backend, value in window.latest.items()
        }
        return {
            version: VersionTraffic(
                live=gained.get(BackendKey(key, version, mirrored=False), TrafficCounters()),
                mirrored=gained.get(BackendKey(key, version, mirrored=True), TrafficCounters()),
            )
            for version in {backend.version for backend in gained}
        }

    def counting_since(self, key: RouteKey, since: float | None) -> float | None:
        """When the reading was taken that the evidence since `since` begins with; None when there is none."""
        window = self._windows.get(key)
        return window.began_at if window is not None and window.since == since else None

    def forget(self, key: RouteKey) -> None:
        """Drop the window of a rollout that is no longer judged."""
        self._windows.pop(key, None)


def difference(now: TrafficCounters, then: TrafficCounters) -> TrafficCounters:
    """What was counted between two readings of one counter, `then` the earlier one."""
    earlier = then.bucket_counts or (0,) * len(now.bucket_counts)
    return TrafficCounters(
        requests=now.requests - then.requests,
        errors=now.errors - then.errors,
        bucket_bounds=now.bucket_bounds,
        bucket_counts=tuple(a - b for a, b in zip(now.bucket_counts, earlier, strict=True)),
    )


def _went_backwards(then: Reading, now: Reading) -> bool:
    """Whether any counter of `then` is smaller in `now`, or measured in other buckets."""
    return any(
        (new := now.get(backend, TrafficCounters())).requests < old.requests
        or new.errors < old.errors
        or (bool(old.bucket_bounds) and new.bucket_bounds != old.bucket_bounds)
        or any(a < b for a, b in zip(new.bucket_counts, old.bucket_counts, strict=False))
        for backend, old in then.items()
    )
