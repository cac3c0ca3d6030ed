"""Numbers from Prometheus, or whoever speaks its HTTP API.

The API: https://prometheus.io/docs/prometheus/latest/querying/api/ (instant queries). Only what is surely one current
number counts. Prometheus itself leaves out what was not scraped for five minutes, or whose target has vanished; an
answer that is older than that comes from a cache.
"""

import asyncio
from collections.abc import Mapping
from math import isinf, isnan
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import aiohttp
from pydantic import BaseModel, Field, ValidationError
from yarl import URL

from operators.ports import Clock, NotMeasured
from operators.providers.http import ANSWER_SECONDS, get

OLDEST: Final = 300.0
"""Seconds that a sample may be old: the time for which Prometheus itself looks back."""
_SAID: Final = 300
"""Characters of Prometheus' own words in a message."""

_Value = tuple[float, float]
"""When (seconds since the epoch), and what."""


class _Sample(BaseModel):
    value: _Value | None = None
    """None for a native histogram."""


class _Scalar(BaseModel):
    kind: Literal["scalar"] = Field(alias="resultType")
    result: _Value


class _Vector(BaseModel):
    kind: Literal["vector"] = Field(alias="resultType")
    result: tuple[_Sample, ...]


class _Other(BaseModel):
    kind: Literal["matrix", "string"] = Field(alias="resultType")
    result: Any


class _Answer(BaseModel):
    status: Literal["success", "error"]
    error: str = ""
    warnings: tuple[str, ...] = ()
    data: Annotated[_Scalar | _Vector | _Other, Field(discriminator="kind")] | None = None


class Prometheus:
    """One Prometheus at `url` (with a path, if it answers under one)."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token_file: Path | None, clock: Clock) -> None:
        """`token_file` holds a bearer token and is read for every query: tokens are replaced while they are used."""
        self._session = session
        self._url = URL(url.rstrip("/") + "/api/v1/query")
        self._name = f"Prometheus at {url.rstrip('/')}"
        self._token_file = token_file
        self._clock = clock

    async def value(self, query: str) -> float:
        """The number that the query gives now. Raises `NotMeasured`."""
        parameters = {"query": query, "timeout": f"{ANSWER_SECONDS:g}s"}
        status, content = await get(self._session, self._name, self._url, parameters, await self._authorization())
        answer = self._read(status, content)
        if answer.warnings:
            raise NotMeasured(f"{self._name} warns: {'; '.join(answer.warnings)[:_SAID]}")
        at, value = _only(answer)
        age = self._clock.now() - at
        if age > OLDEST:
            raise NotMeasured(
                f"{self._name} answered as of {age:.0f} seconds ago: does something cache it, or is its clock slow?"
            )
        if isnan(value):
            raise NotMeasured("the query gives NaN: it has nothing to divide by yet, it seems")
        if isinf(value):
            raise NotMeasured("the query gives an infinite number: it divides by 0, it seems")
        return value

    async def _authorization(self) -> Mapping[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = await asyncio.to_thread(self._token_file.read_text)
        except OSError as error:
            raise NotMeasured(f"the operator's token for {self._name} cannot be read: {error}") from error
        return {"authorization": f"Bearer {token.strip()}"}

    def _read(self, status: int, content: bytes) -> _Answer:
        if status in (401, 403):
            raise NotMeasured(f"{self._name} answered {status}: the operator needs another token for it")
        try:
            answer = _Answer.model_validate_json(content)
        except ValidationError as error:
            raise NotMeasured(
                f"{self._name} answered {status}, and not as Prometheus does: is that its address?"
            ) from error
        if answer.status == "error":
            raise NotMeasured(f"{self._name} could not carry out the query: {answer.error[:_SAID]}")
        return answer


def _only(answer: _Answer) -> _Value:
    """The one sample of an answer."""
    if isinstance(answer.data, _Scalar):
        return answer.data.result
    if not isinstance(answer.data, _Vector):
        kind = "nothing" if answer.data is None else f"a {answer.data.kind}"
        raise NotMeasured(f"the query gives {kind} where one number is needed: wrap it in rate(...) or the like")
    samples = answer.data.result
    if not samples:
        raise NotMeasured("the query gives nothing: no series fits it, or none was scraped in the last minutes")
    if len(samples) > 1:
        raise NotMeasured(
            f"the query gives {len(samples)} series where one number is needed: choose one, or wrap it in sum(...)"
        )
    if samples[0].value is None:
        raise NotMeasured("the query gives a histogram where one number is needed: wrap it in histogram_quantile(...)")
    return samples[0].value
