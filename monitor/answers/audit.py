"""What has been seen of a model: its versions, single requests, and what drift is measured from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """A version, as far as its records are kept: when the first and the last stored one of its `records` came.

    `requests` to `rewards` are about live requests (`monitor.tallies`). Times are seconds since the epoch.
    """

    version: str
    first_at: float
    last_at: float
    records: int
    requests: int
    errors: int
    labels: int
    rewards: int


@dataclass(frozen=True, slots=True)
class VersionsSeen:
    """All of them, the one that was first seen last before the others."""

    versions: tuple[VersionSeen, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """One record: what a version did with the request. `inputs` and `outputs` are None when they were not recorded."""

    version: str
    mirrored: bool
    at: float
    status: int
    ms: float
    rows: int
    key: str | None
    share: int | None
    inputs: Mapping[str, Sequence[Any]] | None
    outputs: Mapping[str, Sequence[Any]] | None


@dataclass(frozen=True, slots=True)
class Said:
    """What people said about the request. `version` is the one whose answer it belongs to, None while it waits."""

    label: Any
    reward: float | None
    received_at: float
    version: str | None
    correct: bool | None


@dataclass(frozen=True, slots=True)
class RequestHistory:
    """All that is known of one request id; empty when nothing is."""

    request_id: str
    records: tuple[Served, ...]
    feedback: Said | None


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """One column of a profile: `kind` is `numeric` or `categorical`."""

    name: str
    kind: str
    count: int
    missing: int


@dataclass(frozen=True, slots=True)
class BaselineSummary:
    """What the drift of a version is measured from.

    `source` is `file` (came with the model) or `records` (its first live ones; the last of them came at `made_at`).
    """

    version: str
    source: str
    made_at: float
    features: tuple[ColumnSummary, ...]
    predictions: tuple[ColumnSummary, ...]


@dataclass(frozen=True, slots=True)
class Baselines:
    """Those of one model, by version."""

    baselines: tuple[BaselineSummary, ...]
