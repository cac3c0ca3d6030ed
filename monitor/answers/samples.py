"""Values of a version, for tools that draw their own pictures of drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Values by column; `categorical` names the columns whose values are names.

    Those of `current` are rows: a request's values are at one place. Those of a reference are not, as a profile keeps
    columns apart from each other.
    """

    columns: Mapping[str, Sequence[Any]]
    categorical: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of columns: its reference (empty while there is none), and the newest requests."""

    reference: Table
    current: Table


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest requests of a version and what its drift is measured from, as `moves.VersionDrift` compares them."""

    namespace: str
    model: str
    version: str
    features: Family
    predictions: Family
