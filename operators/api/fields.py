"""The kinds of values that fields of a manifest hold: durations, quantities, percentages, times.

Text stays as it was written where a person will read it again; what the core computes with are seconds, counts, bytes
and basis points.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
DURATION_PATTERN: Final = r"^([0-9]+(d|h|m|s|ms))+$"

_SUFFIXES: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{suffix: Decimal(1000) ** (power + 1) for power, suffix in enumerate("kMGTPE")},
    **{f"{suffix}i": Decimal(1024) ** (power + 1) for power, suffix in enumerate("KMGTPE")},
}
QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"


def parse_duration(text: str) -> float:
    """Seconds of a duration like `5m`, `250ms` or `1h30m`. Raises `ValueError`."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(
            f"{text!r} is not a duration: write a whole number with a unit, like 250ms, 30s, 5m, 24h or 14d"
        )
    parts = re.findall(r"([0-9]+)(ms|[dhms])", text)
    return sum(int(count) * _UNITS[unit] for count, unit in parts) / 1000


def format_duration(seconds: float) -> str:
    """The text that `parse_duration` reads back, in the largest units: 90 is `1m30s`."""
    rest, text = round(seconds * 1000), ""
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity like `500m`, `2` or `512Mi` stands for. Raises `ValueError`.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    if not re.fullmatch(QUANTITY_PATTERN, text) or match is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity: write a number, like 500m, 2 or 512Mi")
    return Decimal(match[1]) * _SUFFIXES[match[2]]


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, to the millisecond. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return round(moment.timestamp(), 3)


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def basis_points(percent: float) -> int:
    """A percentage of at most two decimals as an integer: 5.25 is 525."""
    return round(percent * 100)


def format_share(points: int) -> str:
    """Basis points for people: 525 is `5.25 %`."""
    return f"{points / 100:g} %"


def _duration(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a duration needs a unit: write {value}s, or another of ms, s, m, h, d")
    return parse_duration(value) if isinstance(value, str) else value


def _quantity(value: object) -> object:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"a fraction must be text: write {value * 1000:g}m or put {value} in quotes")
    text = str(int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if isinstance(text, str):
        parse_quantity(text)
    return text


def _percent(value: float) -> float:
    if abs(value * 100 - round(value * 100)) > 1e-6:
        raise ValueError(f"{value} has more than two decimals: traffic is divided in hundredths of a percent")
    return value


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value


def _time(value: object) -> object:
    return parse_time(value) if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
"""Seconds; `5m` in a manifest."""

Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "minimum": 0, "pattern": QUANTITY_PATTERN}),
]
"""A Kubernetes quantity as it was written; `parse_quantity` reads it. Fractions are text: the API server knows whole
numbers and text here, nothing else."""

Percent = Annotated[
    float,
    Field(ge=0, le=100),
    AfterValidator(_percent),
    PlainSerializer(_plain),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01}),
]
"""0 to 100 with at most two decimals."""

Time = Annotated[
    float,
    BeforeValidator(_time),
    PlainSerializer(format_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Seconds since the epoch; RFC 3339 in a manifest."""
