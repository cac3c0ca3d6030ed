"""Of which requests the record has values: of all of them up to a rate, and of a share that falls as traffic grows.

A request is chosen when the hash of its id is below a threshold. So the same requests are chosen everywhere where the
threshold is the same, and a lower threshold chooses some of those that a higher one does: of a pair of which both
halves were recorded, the values of both are there if the busier of the two replicas kept its own.
"""

from math import exp
from typing import Final

import xxhash

from serving.records.config import ALL, RecordsConfig

SEED: Final = 1
"""Envoy chooses versions by the same hash of the same id with seed 0. If sampling did too, a small sample would hold
the requests of the first version only."""

EVERY: Final = 1 << 64
"""The threshold that no hash reaches."""


class Sampling:
    """Chooses requests. Without a fixed share, it moves its threshold with the traffic that it is told of.

    The traffic is an exponentially weighted mean. One that is steady gives `rate` chosen requests in a second in the
    long run, and `rate * rate_seconds * (1 + ln(traffic / rate))` more at most when it comes out of nothing.
    """

    def __init__(self, config: RecordsConfig) -> None:
        self._fixed = config.sample is not None
        self._budget = config.rate * config.rate_seconds
        self._seconds = config.rate_seconds
        self._recent = 0.0
        """Requests, each worth e⁻¹ as much with every `rate_seconds` that have gone by: `traffic * rate_seconds`."""
        self._last = 0.0
        self.threshold = EVERY if config.sample is None else config.sample * EVERY // ALL
        """Of the 2⁶⁴ hashes, how many are chosen."""

    def chooses(self, request_id: bytes) -> bool:
        """Whether the record of this request has values."""
        return self.threshold == EVERY or xxhash.xxh64_intdigest(request_id, SEED) < self.threshold

    def saw(self, requests: int, now: float) -> None:
        """Take note of requests that came until `now`, in seconds of a clock that does not go back."""
        if self._fixed:
            return
        self._recent = self._recent * exp((self._last - now) / self._seconds) + requests
        self._last = now
        self.threshold = EVERY if self._recent <= self._budget else int(EVERY * (self._budget / self._recent))
