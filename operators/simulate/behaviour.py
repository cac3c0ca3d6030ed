"""How versions start and answer, and what people say about the answers, as it is written down.

All times count from the moment at which the manifest is applied.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Final, Self, cast

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError, ValidationInfo, model_validator

from operators.api.block import Block
from operators.api.fields import Duration, format_duration
from operators.simulate.files import Files
from operators.simulate.latency import Latency, LogNormal
from operators.simulate.recorded import Recording, load

Share = Annotated[float, Field(ge=0, le=1)]
_HEALTHY: Final = LogNormal(p50=5.0, p99=20.0)


class Percentiles(Block):
    """A log-normal latency."""

    p50: Duration = Field(gt=0)
    p99: Duration

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.p99 <= self.p50:
            raise ValueError("p99 must be more than p50")
        return self

    def __str__(self) -> str:
        """For the timeline."""
        return f"p50 {format_duration(self.p50)}, p99 {format_duration(self.p99)}"

    @property
    def latency(self) -> LogNormal:
        """In milliseconds."""
        return LogNormal(self.p50 * 1000, self.p99 * 1000)


class Reward(Block):
    """What an answer is worth: 1 with probability `mean` and else 0, or with a `deviation` normally distributed."""

    mean: float
    deviation: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _is_a_probability(self) -> Self:
        if self.deviation is None and not 0 <= self.mean <= 1:
            raise ValueError(f"is {self.mean:g}: a reward of 0 or 1 is 1 with a probability; else name a deviation")
        return self

    def __str__(self) -> str:
        """For the timeline."""
        return f"reward {self.mean:g}" + ("" if self.deviation is None else f" ± {self.deviation:g}")


def _reward(value: object) -> object:
    return {"mean": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


OneReward = Annotated[Reward, BeforeValidator(_reward)]


class Log(Block):
    """The requests of a version (or of all) in a file."""

    file: str
    version: str | None = None


def _recording(value: object, info: ValidationInfo) -> Recording:
    files = cast("Files", info.context)
    try:
        log = Log.model_validate(value)
    except ValidationError as error:
        raise ValueError("must be {file: requests.csv}, or with a version {file: requests.csv, version: v1}") from error
    return load(files.folder / log.file, log.version)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a version answers at some time.

    `error_rate` is the share of requests that fail, `reward` what an answer is worth, `accuracy` the share of answers
    that agree with their labels, `agreement` that of copies that are answered as the stable version answers.
    """

    error_rate: float
    latency: Latency
    reward: Reward
    accuracy: float
    agreement: float


class Change(Block):
    """From a time on a version answers differently. What is not named stays."""

    at: Duration
    error_rate: Share | None = None
    latency: Percentiles | None = None
    reward: OneReward | None = None
    accuracy: Share | None = None
    agreement: Share | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        named = (self.error_rate, self.latency, self.reward, self.accuracy, self.agreement)
        if not any(one is not None for one in named):
            raise ValueError("names none of errorRate, latency, reward, accuracy, agreement: nothing would change")
        return self

    def __str__(self) -> str:
        """For the timeline."""
        parts = [] if self.error_rate is None else [f"{self.error_rate * 100:g} % of the requests fail"]
        parts += [] if self.latency is None else [f"latency {self.latency}"]
        parts += [] if self.reward is None else [str(self.reward)]
        parts += [] if self.accuracy is None else [f"{self.accuracy * 100:g} % of the answers are right"]
        parts += (
            [] if self.agreement is None else [f"{self.agreement * 100:g} % of the copies are answered as by stable"]
        )
        return ", ".join(parts)

    def after(self, before: Behaviour) -> Behaviour:
        """The behaviour from now on."""
        return Behaviour(
            before.error_rate if self.error_rate is None else self.error_rate,
            before.latency if self.latency is None else self.latency.latency,
            before.reward if self.reward is None else self.reward,
            before.accuracy if self.accuracy is None else self.accuracy,
            before.agreement if self.agreement is None else self.agreement,
        )


class Version(Block):
    """How a version starts and answers."""

    ready_after: Duration = 5.0
    cannot_load: str | None = None
    error_rate: Share | None = None
    latency: Percentiles | None = None
    recorded: Annotated[Recording, PlainValidator(_recording)] | None = None
    reward: OneReward = Reward(mean=0.5)
    accuracy: Share = 0.9
    agreement: Share = 1.0
    changes: tuple[Change, ...] = ()

    @model_validator(mode="after")
    def _from_one_source(self) -> Self:
        if self.recorded is not None and (self.error_rate is not None or self.latency is not None):
            raise ValueError("is either recorded or described by errorRate and latency, not both")
        return self

    def at(self, time: float) -> Behaviour:
        """How it answers at a time."""
        latency = self.latency.latency if self.latency is not None else _HEALTHY
        behaviour = Behaviour(self.error_rate or 0.0, latency, self.reward, self.accuracy, self.agreement)
        if self.recorded is not None:
            behaviour = replace(behaviour, error_rate=self.recorded.error_rate, latency=self.recorded.latency)
        for change in sorted(self.changes, key=lambda change: change.at):
            behaviour = change.after(behaviour) if change.at <= time else behaviour
        return behaviour
