"""Has the relation between inputs and labels moved? Change detectors on the stream of a model's errors.

Errors are 0 or 1 for classes and any size for numbers, in the order of the predictions, as far as labels have come. A
detector is a function of the errors it has seen and nothing else: no clock, no chance. Its state therefore is not
saved; replaying the errors restores it.

- ADWIN keeps a window that grows while its mean is stable, and reports a change when two parts of it differ by more
  than chance allows at confidence `delta`: A. Bifet, R. Gavaldà, Learning from time-changing data with adaptive
  windowing, SDM 2007, 443-448. It wants errors between 0 and 1; `scale` brings larger ones there.
- Page-Hinkley sums how far errors are above their mean so far, less a tolerance, and alarms when the sum has risen
  by a threshold: E. Page, Continuous inspection schemes, Biometrika 41 (1954) 100-115. Cheap, and quick for sudden
  rises; the threshold is in the errors' own unit.

Both come from `river`. A change that they noticed began where two means fit the errors best: J. Bai, Least squares
estimation of a shift in linear processes, J. Time Ser. Anal. 15 (1994) 453-472. Only a rise is a fault.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Protocol

import numpy as np

from monitor.verdict import Verdict

_EDGE: Final = 10


@dataclass(frozen=True, slots=True)
class Change:
    """From the error number `since` on the mean was `after` instead of `before`; it was noticed at number `at`.

    Errors are counted from 0. `before` is the mean since the change before this one.
    """

    since: int
    at: int
    before: float
    after: float

    @property
    def rose(self) -> bool:
        return self.after > self.before


@dataclass(frozen=True, slots=True)
class ConceptResult:
    """`changes` in order of time; fail if the last one was a rise, as a fall after it means that it is over."""

    verdict: Verdict
    changes: tuple[Change, ...]
    samples: int
    message: str


class Detector(Protocol):
    """Takes one finite error after the other and says whether it has just noticed a change, then starts anew."""

    def update(self, error: float) -> bool: ...


class Adwin:
    """`delta` bounds the probability of a false change at each comparison. Errors are divided by `scale`."""

    def __init__(self, delta: float = 0.002, scale: float = 1.0) -> None:
        if not 0 < delta < 1 or scale <= 0:
            raise ValueError(f"no detector with delta {delta} and scale {scale}")
        from river.drift import ADWIN  # noqa: PLC0415 - brings 80 MB, which nobody needs without labels

        self._scale = scale
        self._detector = ADWIN(delta=delta)

    def update(self, error: float) -> bool:
        self._detector.update(error / self._scale)
        return bool(self._detector.drift_detected)


class PageHinkleyTest:
    """Alarms when errors have been `threshold` in sum above their mean plus `tolerance`; rises only.

    A rise by no more than the tolerance is not noticed; one by d takes about threshold / (d - tolerance) errors. The
    defaults suit 0/1 errors: without a change, a false alarm comes once in 100,000 labels or less often, as
    v / 2t^2 exp(2 t h / v) says for tolerance t, threshold h and variance v <= 1/4.
    """

    def __init__(self, threshold: float = 20.0, tolerance: float = 0.05, min_samples: int = 30) -> None:
        if threshold <= 0 or tolerance < 0:
            raise ValueError(f"no detector with threshold {threshold} and tolerance {tolerance}")
        from river.drift import PageHinkley  # noqa: PLC0415

        self._detector = PageHinkley(min_instances=min_samples, delta=tolerance, threshold=threshold, mode="up")

    def update(self, error: float) -> bool:
        self._detector.update(error)
        return bool(self._detector.drift_detected)


def watch(detector: Detector, errors: Iterable[float], min_samples: int = 100) -> ConceptResult:
    """Feed errors to a new detector. Raises `ValueError` for an error that is no finite number."""
    changes: list[Change] = []
    episode: list[float] = []
    start = samples = 0
    for error in errors:
        if not isfinite(error):
            raise ValueError(f"an error must be a finite number, not {error}")
        samples += 1
        episode.append(error)
        if detector.update(error):
            changes.append(_located(episode, start))
            # What came after the change belongs to the next episode.
            episode = episode[changes[-1].since - start :]
            start = changes[-1].since
    last = changes[-1] if changes else None
    if last is not None:
        verdict = Verdict.FAIL if last.rose else Verdict.PASS
        said = f"the mean error {'rose' if last.rose else 'fell'} from {last.before:.3g} to {last.after:.3g}"
        message = f"{said} at label {last.since + 1} of {samples}, noticed at {last.at + 1}"
    elif samples < min_samples:
        verdict, message = Verdict.INCONCLUSIVE, f"{samples} labels; {min_samples} are needed"
    else:
        verdict, message = Verdict.PASS, f"the mean error did not change in {samples} labels"
    return ConceptResult(verdict, tuple(changes), samples, message)


def _located(episode: Sequence[float], start: int) -> Change:
    """The change that was noticed at the end of an episode whose first error has the number `start`."""
    errors = np.asarray(episode, dtype=np.float64)
    n, sizes = len(errors), np.arange(1, len(errors))
    # What two means explain of the squares, for every split; few errors on a side would fit by accident.
    explained = np.square(np.cumsum(errors - errors.mean())[:-1]) * n / (sizes * (n - sizes))
    edge = min(_EDGE, (n - 1) // 2)
    split = int(np.argmax(explained[edge : n - 1 - edge])) + edge + 1
    before, after = float(errors[:split].mean()), float(errors[split:].mean())
    return Change(start + split, start + n - 1, before, after)
