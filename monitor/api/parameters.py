"""Parameters that several routes have."""

import re
from typing import Annotated, Final

from fastapi import Query
from pydantic import AfterValidator

from monitor.store.entries import Name

_LATEST: Final = 1e11
_SECONDS: Final = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,3})([mhd])")


def seconds(duration: str) -> float:
    """Of a duration of whole minutes. Raises `ValueError`."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ValueError("must be a duration such as 15m, 1h or 1d")
    return int(found[1]) * _SECONDS[found[2]]


def _duration(given: str) -> str:
    seconds(given)
    return given


Time = Annotated[float, Query(ge=0, le=_LATEST, allow_inf_nan=False, description="Seconds since the epoch.")]
Named = Annotated[Name, Query()]
Bucket = Annotated[str, Query(description="`15m`, `1h`, `1d`.", max_length=5), AfterValidator(_duration)]
