"""Whether two models give the same answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from serving.runtimes.base import LoadedModel

TOLERANCE: Final = 1e-5
"""How far numbers may be apart: probabilities by this much, others by this part of their size.

The size is the number's own, or that of the model's usual answer where that is larger: sums of large numbers may be
small. The resolution of FP32, in which graphs of trees add up, is 6e-8 of the size.
"""
ALONE: Final = 32
"""So many rows are also asked one at a time, for onnxruntime has another way for a single row."""


def difference(original: LoadedModel, converted: LoadedModel, names: Sequence[str], rows: np.ndarray) -> str:
    """How the answers differ, in a sentence; empty if they agree on every row. Labels must be equal."""
    wanted = original.predict(rows, tuple(names))
    together = converted.predict(rows, tuple(names))
    alone = [converted.predict(rows[row : row + 1], tuple(names)) for row in range(min(ALONE, len(rows)))]
    parts = {name: np.concatenate([part[name] for part in alone]) for name in names}
    return _first(wanted, together, rows, names) or _first(wanted, parts, rows[:ALONE], names)


def _first(
    wanted: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], rows: np.ndarray, names: Sequence[str]
) -> str:
    for name in names:
        one, other = wanted[name], found[name]
        one = one[: len(rows)]
        if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
            return f"{name} has another shape or type: {other.dtype}{other.shape} in place of {one.dtype}{one.shape}"
        apart = _apart(one, other, is_share=name == "predict_proba").reshape(len(rows), -1).any(axis=1)
        if apart.any():
            row = int(apart.argmax())
            return (
                f"{name} differs for {int(apart.sum())} of {len(rows)} sample rows: {_short(other[row])} in place of "
                f"{_short(one[row])} for {_short(rows[row])}"
            )
    return ""


def _apart(one: np.ndarray, other: np.ndarray, *, is_share: bool) -> np.ndarray:
    if one.dtype.kind != "f":
        return np.asarray(one != other)
    finite = np.abs(one[np.isfinite(one)])
    usual = float(np.median(finite)) if finite.size else 0.0
    allowed = TOLERANCE * (1.0 if is_share else np.maximum(np.abs(one), usual))
    with np.errstate(invalid="ignore"):
        near = (np.abs(one - other) <= allowed) | (one == other) | (np.isnan(one) & np.isnan(other))
    return np.asarray(~near)


def _short(values: Any) -> str:
    text = ", ".join(f"{value:.10g}" if isinstance(value, float) else str(value) for value in np.ravel(values).tolist())
    return text if len(text) <= 120 else f"{text[:117]}..."
