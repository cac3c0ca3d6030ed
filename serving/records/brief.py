"""What a record keeps of named tensors: columns of few values. Images and embeddings are not what drift is measured on.

A tensor is kept if it has one entry or one short row for each of the request's rows, and an output also if what it
has for a row is nested but short. Text is kept up to `MAX_TEXT` characters; bytes that are no text never are.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from serving.runtimes import Tensors

MAX_COLUMNS: Final = 256
"""Values in one row of all inputs, and in one of an output, at most."""
MAX_TEXT: Final = 1024
"""Characters of a text, at most."""

Columns = dict[str, list[Any]]
"""Values by column, one for each kept row."""


def brief_inputs(tensors: Tensors, max_rows: int) -> Columns:
    """The inputs' first rows by column: `x` for one value in a row, `x.0`, `x.1`, … for several."""
    columns: Columns = {}
    for name, array in tensors.arrays.items():
        if not name.isprintable() or array.ndim > 2 or not _is_kept(array, len(tensors), max_rows):
            continue
        if array[:1].size + len(columns) <= MAX_COLUMNS:
            columns |= zip(_names(name, array), array[:max_rows].reshape(-1, array[:1].size).T.tolist(), strict=True)
    return columns


def brief_outputs(outputs: Mapping[str, np.ndarray], rows: int, max_rows: int) -> dict[str, np.ndarray]:
    """The outputs that are kept, as they are."""
    return {
        name: array
        for name, array in outputs.items()
        if name.isprintable() and _is_kept(array, rows, max_rows) and array[:1].size <= MAX_COLUMNS
    }


def _names(name: str, array: np.ndarray) -> Iterator[str]:
    if array[:1].size == 1:
        yield name
        return
    for column in range(array.shape[1]):
        yield f"{name}.{column}"


def _is_kept(array: np.ndarray, rows: int, max_rows: int) -> bool:
    """Whether it has an entry for each row, and no value is too long or none that JSON has."""
    if array.ndim == 0 or len(array) != rows or array.size == 0:
        return False
    if array.dtype.kind not in "OSU" or array[:1].size > MAX_COLUMNS:
        return True
    return all(type(value) is str and len(value) <= MAX_TEXT for value in array[:max_rows].ravel().tolist())
