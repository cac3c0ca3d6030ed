"""A profile: what is kept of many records, so that the records themselves need not be.

Of a number: how many, how many missing, mean, variance, extremes, and a sample. Of a category: how often each
occurred. Columns are profiled apart from each other, so that no record can be put together again from a profile.
Profiles of parts merge into exactly the profile of the whole (moments up to rounding), in any order.

- The sample is a bottom-k sketch: every record gets a pseudorandom priority from its id, and the `SAMPLE_SIZE` lowest
  are kept. That is a uniform sample without replacement, and merging cannot change it. E. Cohen, H. Kaplan,
  Summarizing data using bottom-k sketches, PODC 2007, 225-234. Priorities differ from column to column.
- Its empirical distribution is within sqrt(ln(2 / a) / 2k) of the whole one with probability 1 - a (0.03 for k = 2048
  and a = 0.05): P. Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Ann. Probab. 18 (1990)
  1269-1283. A two-sample test on the sample is as right as one on all records; it only has less power.
- Of more than `MAX_CATEGORIES` categories, those with the lowest hashes are kept, with exact counts, and the others
  are counted together; this too survives merging.
- Means and variances merge by T. Chan, G. Golub, R. LeVeque, Algorithms for computing the sample variance, Amer.
  Statist. 37 (1983) 242-247. Priorities are mixed by SplitMix64: G. Steele, D. Lea, C. Flood, Fast splittable
  pseudorandom number generators, OOPSLA 2014, 453-472.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from hashlib import blake2b
from math import inf, isfinite, isnan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION: Final = 1
SAMPLE_SIZE: Final = 2048
MAX_CATEGORIES: Final = 1000
_LONGEST_NAME: Final = 200
_LARGEST: Final = 1e150
"""Squares of larger numbers, and their sums, could not be represented."""

Column = Sequence[object] | NDArray[Any]


class ProfileError(ValueError):
    """A profile that cannot be made, merged or read."""


class Kind(Enum):
    """How a column's values are to be understood."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """Numbers. `missing` counts what is none, or not within ±1e150; `m2` sums squared deviations from the mean.

    `priorities` rise; `sample[i]` belongs to `priorities[i]`. Without numbers `low` is above `high`.
    """

    count: int = 0
    missing: int = 0
    mean: float = 0.0
    m2: float = 0.0
    low: float = inf
    high: float = -inf
    priorities: tuple[int, ...] = ()
    sample: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Column, priorities: NDArray[np.uint64]) -> "NumericColumn":
        every = numbers(values)
        finite = present(every, Kind.NUMERIC)
        found = every[finite]
        if not found.size:
            return cls(missing=len(every))
        mean = float(found.mean())
        kept = np.lexsort((found, priorities[finite]))[:SAMPLE_SIZE]
        return cls(
            count=len(found),
            missing=len(every) - len(found),
            mean=mean,
            m2=float(np.square(found - mean).sum()),
            low=float(found.min()),
            high=float(found.max()),
            priorities=tuple(priorities[finite][kept].tolist()),
            sample=tuple(found[kept].tolist()),
        )

    @property
    def variance(self) -> float | None:
        """The unbiased estimate; None of fewer than two numbers."""
        return self.m2 / (self.count - 1) if self.count > 1 else None

    def quantile(self, q: float) -> float | None:
        """Of the sample, interpolated; None without numbers."""
        return float(np.quantile(self.sample, q)) if self.sample else None

    def merge(self, other: "NumericColumn") -> "NumericColumn":
        count = self.count + other.count
        missing = self.missing + other.missing
        if not count:
            return NumericColumn(missing=missing)
        apart = other.mean - self.mean
        pairs = zip(self.priorities + other.priorities, self.sample + other.sample, strict=True)
        kept = sorted(pairs)[:SAMPLE_SIZE]
        return NumericColumn(
            count=count,
            missing=missing,
            mean=self.mean + apart * other.count / count,
            m2=self.m2 + other.m2 + apart * apart * self.count * other.count / count,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            priorities=tuple(priority for priority, _ in kept),
            sample=tuple(value for _, value in kept),
        )


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """Categories by name, in order of their names; `other` counts records of categories that were not kept."""

    count: int = 0
    missing: int = 0
    categories: Mapping[str, int] = field(default_factory=dict)
    other: int = 0

    @classmethod
    def of(cls, values: Iterable[object]) -> "CategoricalColumn":
        counts = Counter(map(category, values))
        missing = counts.pop(None, 0)
        return cls._kept({name: n for name, n in counts.items() if name is not None}, 0, missing)

    @classmethod
    def _kept(cls, counts: Mapping[str, int], other: int, missing: int) -> "CategoricalColumn":
        names = list(counts) if len(counts) <= MAX_CATEGORIES else sorted(counts, key=hash_of)[:MAX_CATEGORIES]
        kept = {name: counts[name] for name in sorted(names)}
        total = sum(counts.values()) + other
        return cls(total, missing, kept, total - sum(kept.values()))

    def merge(self, other: "CategoricalColumn") -> "CategoricalColumn":
        counts = Counter(self.categories) + Counter(other.categories)
        return self._kept(counts, self.other + other.other, self.missing + other.missing)


@dataclass(frozen=True, slots=True)
class Profile:
    """Columns of `rows` records: a reference, or a window that is compared with one."""

    rows: int = 0
    columns: Mapping[str, NumericColumn | CategoricalColumn] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Column],
        kinds: Mapping[str, Kind] | None = None,
        ids: Sequence[str] | None = None,
    ) -> "Profile":
        """Profile a table given by columns of one length; None and NaN stand for missing values.

        `kinds` says how to read a column; without it a column of numbers is numeric and any other is categorical, so
        whole numbers that name classes must be declared. `ids` name the records, by default their row numbers; parts
        that will be merged need ids. Raises `ProfileError` if lengths differ.
        """
        lengths = {len(column) for column in columns.values()} | ({len(ids)} if ids is not None else set())
        if len(lengths) > 1:
            raise ProfileError(f"columns and ids must have one length, not {sorted(lengths)}")
        rows = lengths.pop() if lengths else 0
        seeds = np.arange(rows, dtype=np.uint64) if ids is None else np.array([*map(hash_of, ids)], dtype=np.uint64)
        made: dict[str, NumericColumn | CategoricalColumn] = {}
        for name, column in columns.items():
            kind = (kinds or {}).get(name) or _kind_of(column)
            if kind is Kind.NUMERIC:
                # 53 bits, so that any reader of JSON can hold them.
                made[name] = NumericColumn.of(column, mix(seeds ^ np.uint64(hash_of(name))) >> np.uint64(11))
            else:
                made[name] = CategoricalColumn.of(column)
        return cls(rows, made)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            name: Kind.NUMERIC if isinstance(column, NumericColumn) else Kind.CATEGORICAL
            for name, column in self.columns.items()
        }

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both; a column that one of them lacks is missing in all its rows.

        Raises `ProfileError` if a column is numeric in one and categorical in the other.
        """
        names = dict.fromkeys((*self.columns, *other.columns))
        merged: dict[str, NumericColumn | CategoricalColumn] = {}
        for name in names:
            match self.columns.get(name), other.columns.get(name):
                case NumericColumn() | None as one, NumericColumn() | None as two:
                    merged[name] = (one or NumericColumn(missing=self.rows)).merge(
                        two or NumericColumn(missing=other.rows)
                    )
                case CategoricalColumn() | None as one, CategoricalColumn() | None as two:
                    merged[name] = (one or CategoricalColumn(missing=self.rows)).merge(
                        two or CategoricalColumn(missing=other.rows)
                    )
                case _:
                    raise ProfileError(f"{name} is numeric in one profile and categorical in the other")
        return Profile(self.rows + other.rows, merged)

    def to_json(self) -> str:
        columns = {
            name: {"kind": kind.value, **asdict(self.columns[name])} for name, kind in sorted(self.kinds.items())
        }
        for column in columns.values():
            if column["count"] == 0:
                column.pop("low", None)  # JSON has no infinity
                column.pop("high", None)
        document = {"schema": SCHEMA_VERSION, "rows": self.rows, "columns": columns}
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Profile":
        """Read what `to_json` wrote. Raises `ProfileError` for anything else."""
        try:
            document = json.loads(text)
            if (version := document["schema"]) != SCHEMA_VERSION:
                raise ProfileError(f"the profile has schema {version}; this release reads {SCHEMA_VERSION}")
            columns = {name: _column_from(fields) for name, fields in document["columns"].items()}
            return cls(int(document["rows"]), columns)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            if isinstance(problem, ProfileError):
                raise
            raise ProfileError(f"no profile: {type(problem).__name__}: {problem}") from problem


def numbers(values: Column) -> NDArray[np.float64]:
    """Every value as a float; NaN for what is no number."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return np.fromiter(map(number, values), np.float64, len(values))


def present(values: Column, kind: Kind) -> NDArray[np.bool_]:
    """Which values are not missing in a column of that kind."""
    if kind is Kind.NUMERIC:
        return np.abs(numbers(values)) < _LARGEST
    return np.array([category(value) is not None for value in values], dtype=np.bool_)


def number(value: object) -> float:
    """The value as a float, NaN for what is no number."""
    try:
        return float(value) if isinstance(value, int | float | np.integer | np.floating | np.bool_) else np.nan
    except OverflowError:  # an integer beyond floats
        return np.nan


def category(value: object) -> str | None:
    """The name of a category, None for a missing one. A whole number has one name however it is typed.

    Of a very long name the beginning and a digest are kept.
    """
    if value is None:
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating):
        if isnan(value):
            return None
        return str(int(value)) if isfinite(value) and value == int(value) else str(float(value))
    name = str(value)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…{hash_of(name):016x}"


def hash_of(text: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def mix(seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: 64 well-mixed bits of each seed; a bijection."""
    with np.errstate(over="ignore"):
        mixed = seeds + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _kind_of(column: Column) -> Kind:
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        return Kind.NUMERIC
    found = (one for one in column if one is not None)
    numeric = all(isinstance(one, int | float | np.number) and not isinstance(one, bool) for one in found)
    return Kind.NUMERIC if numeric else Kind.CATEGORICAL


def _column_from(fields: Mapping[str, Any]) -> NumericColumn | CategoricalColumn:
    given = dict(fields)
    kind = Kind(given.pop("kind"))
    if min(given["count"], given["missing"]) < 0:
        raise ProfileError("a column has a negative number of values")
    if kind is Kind.CATEGORICAL:
        categories = CategoricalColumn(**given)
        counts = (*categories.categories.values(), categories.other)
        if min(counts) < 0 or sum(counts) != categories.count:
            raise ProfileError("the categories of a column do not add up to its values")
        return categories
    given |= {name: tuple(given[name]) for name in ("priorities", "sample")}
    column = NumericColumn(**given)
    if len(column.priorities) != len(column.sample):
        raise ProfileError("a sample has as many priorities as values")
    if len(column.sample) != min(column.count, SAMPLE_SIZE):
        raise ProfileError(f"a sample has all values up to {SAMPLE_SIZE}")
    if column.count and not column.low <= column.high:
        raise ProfileError("the lowest value is above the highest")
    return column
