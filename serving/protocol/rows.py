"""Outputs of a model of tensors, row by row, as the JSON of protocols that know rows only."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import RequestError
from serving.protocol.text import json_values


def by_row(outputs: Mapping[str, np.ndarray]) -> list[Any]:
    """One entry for each row: the values of the one output, or an object with those of each.

    Raises `RequestError` when the outputs differ in their length.
    """
    columns = _columns(outputs)
    return next(iter(columns.values())) if len(columns) == 1 else _objects(columns)


def records(outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One object for each row, with the values of each output. Raises `RequestError` as `by_row` does."""
    return _objects(_columns(outputs))


def _objects(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(outputs: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    lengths = {values.shape[:1] for values in outputs.values()}
    if len(lengths) != 1 or lengths == {()}:
        shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in outputs.items())
        raise RequestError(500, "not_by_row", f"the model's outputs have no common rows ({shapes}): ask it over v2")
    return {
        name: json_values(values)[0] if values.dtype.kind in "OS" else values.tolist()
        for name, values in outputs.items()
    }
