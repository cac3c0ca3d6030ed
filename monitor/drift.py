"""Has the data moved? A window of records against a reference, feature by feature.

A feature has drifted when both hold: the difference is no accident (Kolmogorov-Smirnov for numbers, chi-square for
categories, adjusted for the number of features), and it is large (PSI above a threshold). With many records the
tests alone would report differences that no one cares about; with few, PSI alone would report noise. A large PSI
that may be an accident is inconclusive, as are features with too few records.

The tests are right for a window that was chosen beforehand. Who looks at every request and stops when he sees drift
needs `monitor.conformal`. Predictions are a column like any other; in a profile of their own they are a family of
their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.distances import (
    TwoSampleTest,
    adjusted,
    chi_square,
    histogram,
    jensen_shannon,
    kolmogorov_smirnov,
    pooled,
    psi,
    quantile_edges,
)
from monitor.profiles import CategoricalColumn, Kind, NumericColumn, Profile, hash_of
from monitor.verdict import Verdict, worst

_REST = "\0rest"
"""Stands for the categories that a profile counted together."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """`alpha` is the false discovery rate over all features; `max_psi` what is still no drift.

    `bins` of equal reference counts are what PSI and the Jensen-Shannon distance of numbers are computed on; those of
    categories are computed on the cells of the chi-square test.
    `min_samples` are needed on both sides. `dependent` asks for Benjamini-Yekutieli instead of Benjamini-Hochberg.
    """

    alpha: float = 0.05
    max_psi: float = 0.2
    bins: int = 10
    min_samples: int = 100
    dependent: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or self.max_psi < 0 or self.bins < 2 or self.min_samples < 1:
            raise ValueError(f"no settings for drift: {self}")


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature. None stands for what could not be computed.

    `effect` is D of Kolmogorov-Smirnov or Cramér's V; `p_value` is that of this feature alone, `adjusted_p_value`
    takes the number of features into account.
    """

    feature: str
    verdict: Verdict
    message: str
    reference_samples: int
    samples: int
    test: str | None = None
    statistic: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    effect: float | None = None
    psi: float | None = None
    jensen_shannon: float | None = None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All features, those that drifted first, the largest PSI first."""

    features: tuple[FeatureDrift, ...]
    verdict: Verdict
    message: str

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(one.feature for one in self.features if one.verdict is Verdict.FAIL)


def compare(reference: Profile, window: Profile, settings: DriftSettings | None = None) -> DriftReport:
    """Compare a window of records with the reference."""
    settings = settings or DriftSettings()
    measured = [
        _measure(name, reference.columns.get(name), window.columns.get(name), settings)
        for name in dict.fromkeys((*reference.columns, *window.columns))
    ]
    features = sorted(_judged(measured, settings), key=_severity)
    found = [one.feature for one in features if one.verdict is Verdict.FAIL]
    unclear = sum(one.verdict is Verdict.INCONCLUSIVE for one in features)
    message = f"{len(found)} of {len(features)} features drifted"
    message += f": {', '.join(found)}" if found else ""
    message += f"; {unclear} inconclusive" if unclear else ""
    return DriftReport(tuple(features), worst(one.verdict for one in features), message)


def _measure(
    name: str,
    reference: NumericColumn | CategoricalColumn | None,
    window: NumericColumn | CategoricalColumn | None,
    settings: DriftSettings,
) -> FeatureDrift:
    """One feature on its own; `_judged` gives those with a p-value their verdict."""
    sizes = (reference.count if reference else 0, window.count if window else 0)

    def unclear(why: str) -> FeatureDrift:
        return FeatureDrift(name, Verdict.INCONCLUSIVE, f"{name}: {why}", *sizes)

    if reference is None or window is None:
        return unclear(f"the {'reference' if reference is None else 'window'} has no such feature")
    if min(sizes) < settings.min_samples:
        return unclear(f"{sizes[1]} values against {sizes[0]}; {settings.min_samples} are needed on both sides")
    match reference, window:
        case NumericColumn(), NumericColumn():
            edges = quantile_edges(reference.sample, settings.bins)
            test = kolmogorov_smirnov(reference.sample, window.sample)
            counts: tuple[Sequence[int], Sequence[int]] = (
                histogram(reference.sample, edges).tolist(),
                histogram(window.sample, edges).tolist(),
            )
        case CategoricalColumn(), CategoricalColumn():
            known, seen = _comparable(reference, window)
            test = chi_square(known, seen)
            counts = pooled(known, seen).tolist()
        case _:
            kinds = [
                Kind.NUMERIC if isinstance(one, NumericColumn) else Kind.CATEGORICAL for one in (reference, window)
            ]
            return unclear(f"{kinds[0].value} in the reference and {kinds[1].value} in the window")
    return _measured(name, sizes, test, counts)


def _measured(
    name: str, sizes: tuple[int, int], test: TwoSampleTest, counts: tuple[Sequence[int], Sequence[int]]
) -> FeatureDrift:
    return FeatureDrift(
        name,
        Verdict.INCONCLUSIVE,
        "",
        *sizes,
        test=test.name,
        statistic=test.statistic,
        p_value=test.p_value,
        effect=test.effect,
        psi=psi(*counts),
        jensen_shannon=jensen_shannon(*counts),
    )


def _comparable(one: CategoricalColumn, two: CategoricalColumn) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Counts of both; a category that either side counted with others is counted with others on both."""
    truncated = [column for column in (one, two) if column.other]
    if not truncated:
        return one.categories, two.categories
    # A side that did not keep all kept those with the lowest hashes: up to its highest it knows every count exactly.
    limit = min(max(map(hash_of, column.categories)) for column in truncated)

    def counts(column: CategoricalColumn) -> dict[str, int]:
        known = {name: n for name, n in column.categories.items() if hash_of(name) <= limit}
        return known | {_REST: column.count - sum(known.values())}

    return counts(one), counts(two)


def _judged(measured: Sequence[FeatureDrift], settings: DriftSettings) -> list[FeatureDrift]:
    tested = [(one, one.p_value) for one in measured if one.p_value is not None]
    corrected = adjusted([p for _, p in tested], settings.dependent) if tested else []
    verdicts = {one.feature: _verdict(one, p, settings) for (one, _), p in zip(tested, corrected, strict=True)}
    return [verdicts.get(one.feature, one) for one in measured]


def _verdict(one: FeatureDrift, p_value: float, settings: DriftSettings) -> FeatureDrift:
    large = one.psi is not None and one.psi > settings.max_psi
    proven = p_value <= settings.alpha
    verdict = (Verdict.FAIL if proven else Verdict.INCONCLUSIVE) if large else Verdict.PASS
    accident = "no accident" if proven else "may be an accident"
    message = (
        f"{one.feature}: PSI is {one.psi:.3g}, {settings.max_psi:g} allowed; {one.test} says {accident} "
        f"(adjusted p {p_value:.2g}, {one.samples} values against {one.reference_samples})"
    )
    return replace(one, verdict=verdict, adjusted_p_value=p_value, message=message)


def _severity(one: FeatureDrift) -> tuple[int, float]:
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS).index(one.verdict)
    return order, -(one.psi or 0.0)
