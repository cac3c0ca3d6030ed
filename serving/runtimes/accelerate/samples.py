"""Rows on which a model and what was made of it are compared.

Three kinds: rows within the ranges that are known, rows with one value at or beside a threshold of a tree, and pairs of
neighbouring rows between which the model's answer jumps. The last are where rounding shows, whatever the model is: they
are found by bisection, with nothing known of it but its answers.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serving.runtimes.base import Signature
from serving.spec import InputSpec

ROWS: Final = 512
"""Rows within the ranges."""
THRESHOLDS: Final = 256
"""Thresholds that are tried, of all there are; five rows each."""
JUMPS: Final = 256
"""Pairs of rows between which jumps are looked for, at most."""
JUMP_SECONDS: Final = 10.0
"""How long that may take: neighbours are found after 60 to 70 calls of the model."""
SCALES: Final = tuple(10.0**power for power in range(-2, 5))
"""Sizes of the numbers in columns about which nothing is known."""

Ask = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Asks the model; its outputs, one entry per row."""


@dataclass(frozen=True, slots=True)
class Range:
    """What is known of one column."""

    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()
    missing: bool = False


def ranges(signature: Signature, profile: Mapping[str, Any] | None) -> list[Range]:
    """What the manifest says of each column, and the statistics of the training data where they name it."""
    known = ((profile or {}).get("features") or {}).get("columns") or {}
    columns = signature.features or (signature.tensor,) * (signature.width or 0)
    return [_range(column, known.get(column.name) or {}) for column in columns]


def rows_for(
    signature: Signature, columns: Sequence[Range], thresholds: Iterable[tuple[int, float]], ask: Ask
) -> np.ndarray:
    """The rows, in the dtype of the model's table. The same for the same arguments."""
    random = np.random.default_rng(20)
    dtype = signature.dtype
    splits = sorted({(column, value) for column, value in thresholds if column < len(columns)})
    by_column: dict[int, list[float]] = {}
    for column, value in splits:
        by_column.setdefault(column, []).append(value)
    inside = np.stack([_draw(column, by_column.get(place, []), random) for place, column in enumerate(columns)], axis=1)
    inside = _cast(inside, dtype)
    if len(splits) > THRESHOLDS:
        splits = [splits[place] for place in sorted(random.choice(len(splits), THRESHOLDS, replace=False))]
    parts = [inside, _at(splits, inside, random, dtype), _jumps(inside, ask, random)]
    return np.concatenate([part for part in parts if len(part)])


def _range(column: InputSpec, known: Mapping[str, Any]) -> Range:
    low, high = (known.get("low"), known.get("high")) if known.get("kind") == "numeric" else (None, None)
    low = column.min if column.min is not None else low
    high = column.max if column.max is not None else high
    values = tuple(float(value) for value in column.values if not isinstance(value, str))
    return Range(low, high, values, column.nullable)


def _draw(column: Range, splits: Sequence[float], random: np.random.Generator) -> np.ndarray:
    """One column of the rows within the ranges."""
    if column.values:
        drawn = random.choice(column.values, ROWS)
    elif column.low is not None and column.high is not None:
        drawn = random.uniform(column.low, column.high, ROWS)
        drawn[:2] = column.low, column.high
    elif splits:
        low, high = min(splits), max(splits)
        margin = max((high - low) / 4, abs(low) / 100, 1e-3)
        drawn = random.uniform(low - margin, high + margin, ROWS)
        drawn[ROWS // 2 :: 8] = _wide(random, len(drawn[ROWS // 2 :: 8]))
    else:
        drawn = _wide(random, ROWS)
    if column.missing:
        drawn[random.random(ROWS) < 0.05] = np.nan
    return np.asarray(np.clip(drawn, column.low, column.high) if (column.low, column.high) != (None, None) else drawn)


def _wide(random: np.random.Generator, count: int) -> np.ndarray:
    return np.asarray(random.normal(0.0, 1.0, count) * random.choice(SCALES, count))


def _cast(rows: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind == "f":
        return rows.astype(dtype)
    if dtype.kind == "b":
        return rows > 0
    bounds = np.iinfo(dtype)
    whole = np.clip(np.rint(rows), max(bounds.min, -(2.0**53)), min(bounds.max, 2.0**53))
    return np.asarray(whole.astype(dtype))


def _at(
    splits: Sequence[tuple[int, float]], inside: np.ndarray, random: np.random.Generator, dtype: np.dtype[Any]
) -> np.ndarray:
    """Rows with one value at a threshold, and at its neighbours in FP64 and in FP32."""
    if dtype.kind == "b":
        return inside[:0]
    found = []
    for column, value in splits:
        single = np.float32(value)
        near = (
            value,
            np.nextafter(value, -np.inf),
            np.nextafter(value, np.inf),
            float(np.nextafter(single, np.float32(-np.inf))),
            float(np.nextafter(single, np.float32(np.inf))),
        )
        rows = inside[random.integers(0, len(inside), len(near))].astype(np.float64)
        rows[:, column] = near
        found.append(rows)
    return _cast(np.concatenate(found), dtype) if found else inside[:0]


def _jumps(inside: np.ndarray, ask: Ask, random: np.random.Generator) -> np.ndarray:
    """Pairs of neighbours with different answers, each on the way from one of the rows to another, by one column."""
    if inside.dtype.kind == "b":
        return inside[:0]
    until = time.monotonic() + JUMP_SECONDS
    count = min(4 * JUMPS, 2 * len(inside))
    low = inside[random.integers(0, len(inside), count)].copy()
    high = low.copy()
    columns = random.integers(0, inside.shape[1], count)
    places = np.arange(count)
    high[places, columns] = inside[random.integers(0, len(inside), count), columns]
    differ = _differ(ask(low), ask(high)) & np.isfinite(low[places, columns]) & np.isfinite(high[places, columns])
    low, high, columns = low[differ][:JUMPS], high[differ][:JUMPS], columns[differ][:JUMPS]
    places = np.arange(len(low))
    answers = ask(low) if len(low) else ()
    while len(low) and time.monotonic() < until:
        start, end = low[places, columns], high[places, columns]
        half = start / 2 + end / 2 if low.dtype.kind == "f" else start // 2 + end // 2 + (start % 2 + end % 2) // 2
        if ((half == start) | (half == end)).all():
            break
        middle = low.copy()
        middle[places, columns] = half
        same = ~_differ(answers, ask(middle))
        low[same, columns[same]] = half[same]
        high[~same, columns[~same]] = half[~same]
    return np.concatenate([low, high])


def _differ(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> np.ndarray:
    """Which rows have different answers."""
    found = [
        (left != right).reshape(len(left), -1).any(axis=1) for left, right in zip(one, other, strict=True) if len(left)
    ]
    return np.logical_or.reduce(found) if found else np.zeros(0, bool)
