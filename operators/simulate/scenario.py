"""The world as it is written down: what requests come, how versions answer them, what goes wrong, what people do.

All times count from the moment at which the manifest is applied.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self, cast

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError, ValidationInfo, model_validator

from operators.api import InvalidManifest, ModelRollout, Problem
from operators.api.fields import Duration, format_duration
from operators.api.types import Block
from operators.simulate.latency import Latency, LogNormal
from operators.simulate.recorded import Recording, load

Saying = Literal[
    "promote",
    "promote --full",
    "promote --force",
    "promote --full --force",
    "abort",
    "retry",
    "undo",
    "pause",
    "resume",
]
"""What a person types, without `tidegate` and the rollout's name."""
Share = Annotated[float, Field(ge=0, le=1)]
_HEALTHY: Final = LogNormal(p50=5.0, p99=20.0)


class InvalidScenario(Exception):
    """A scenario that makes no sense; its text has a line for each problem, with its field."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """At least one problem."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Files:
    """What a scenario may name: logs and manifests, both from `folder` on.

    `manifest` reads one manifest. It raises `ValueError` or `InvalidManifest`.
    """

    folder: Path
    manifest: Callable[[Path], ModelRollout]


def _rates(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ({"rps": value},)
    return tuple(value) if isinstance(value, list) else value


def _manifest(value: object, info: ValidationInfo) -> ModelRollout:
    if not isinstance(value, str):
        raise ValueError("must be the name of a file with a manifest")
    files = cast("Files", info.context)
    try:
        return files.manifest(files.folder / value)
    except InvalidManifest as error:
        raise ValueError(f"{value}: {'; '.join(map(str, error.problems))}") from error


class Rate(Block):
    """So many requests per second from a time on."""

    at: Duration = 0.0
    rps: float = Field(ge=0)


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


class Change(Block):
    """From a time on a version answers differently. What is not named stays."""

    at: Duration
    error_rate: Share | None = None
    latency: Percentiles | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.error_rate is None and self.latency is None:
            raise ValueError("names neither errorRate nor latency: nothing would change")
        return self

    def __str__(self) -> str:
        """For the timeline."""
        rate, latency = self.error_rate, self.latency
        errors = [] if rate is None else [f"{rate * 100:g} % of the requests fail"]
        times = [] if latency is None else [f"latency {latency}"]
        return ", ".join(errors + times)


class Version(Block):
    """How a version starts and answers."""

    ready_after: Duration = 5.0
    cannot_load: str | None = None
    error_rate: Share | None = None
    latency: Percentiles | None = None
    recorded: Annotated[Recording, PlainValidator(_recording)] | None = None
    changes: tuple[Change, ...] = ()

    @model_validator(mode="after")
    def _from_one_source(self) -> Self:
        if self.recorded is not None and (self.error_rate is not None or self.latency is not None):
            raise ValueError("is either recorded or described by errorRate and latency, not both")
        return self

    def answers(self, at: float) -> tuple[float, Latency]:
        """The share of requests that fail and the latency of all, at a time."""
        rate, latency = self.error_rate or 0.0, self.latency.latency if self.latency is not None else _HEALTHY
        behaviour: tuple[float, Latency] = (rate, latency)
        if self.recorded is not None:
            behaviour = self.recorded.error_rate, self.recorded.latency
        for change in sorted(self.changes, key=lambda change: change.at):
            if change.at <= at:
                rate, current = behaviour
                behaviour = (
                    rate if change.error_rate is None else change.error_rate,
                    current if change.latency is None else change.latency.latency,
                )
        return behaviour


class Happening(Block):
    """Something that happens at a time: exactly one of its fields."""

    at: Duration
    command: Saying | None = None
    ray_unreachable: Duration | None = Field(default=None, gt=0)
    router_unacknowledged: Duration | None = Field(default=None, gt=0)
    replicas_lost: Literal["stable", "candidate"] | None = None
    apply: Annotated[ModelRollout, PlainValidator(_manifest)] | None = None
    behaves: Version | None = None
    """How the applied version does, if it is a new one; healthy without it."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        kinds = ("command", "ray_unreachable", "router_unacknowledged", "replicas_lost", "apply")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            named = ("command", "rayUnreachable", "routerUnacknowledged", "replicasLost", "apply")
            raise ValueError(f"must be exactly one of {', '.join(named)}")
        if self.behaves is not None and self.apply is None:
            raise ValueError("behaves belongs to apply")
        return self

    def __str__(self) -> str:
        """For the timeline."""
        if self.command is not None:
            return f"somebody says {self.command}"
        if self.ray_unreachable is not None:
            return f"Ray Serve cannot be reached for {format_duration(self.ray_unreachable)}"
        if self.router_unacknowledged is not None:
            return f"the routers acknowledge nothing for {format_duration(self.router_unacknowledged)}"
        if self.replicas_lost is not None:
            return f"all replicas of the {self.replicas_lost} version are lost"
        return "another manifest is applied"


class Scenario(Block):
    """Everything outside the operator. Without any field: a healthy candidate at 50 requests per second."""

    duration: Duration = Field(default=86_400.0, gt=0)
    requests_per_second: Annotated[tuple[Rate, ...], BeforeValidator(_rates)] = (Rate(rps=50.0),)
    acknowledge_after: Duration = Field(default=0.1, gt=0)
    stable: Version = Version()
    candidate: Version = Version()
    events: tuple[Happening, ...] = ()

    @property
    def versions(self) -> Iterator[Version]:
        """Every behaviour that is described."""
        yield from (self.stable, self.candidate)
        yield from (event.behaves for event in self.events if event.behaves is not None)

    @cached_property
    def moments(self) -> Sequence[float]:
        """All times at which something described begins or ends, in order."""
        found = {rate.at for rate in self.requests_per_second} | {event.at for event in self.events}
        found |= {change.at for version in self.versions for change in version.changes}
        found |= {event.at + event.ray_unreachable for event in self.events if event.ray_unreachable is not None}
        return sorted(found)

    @property
    def story(self) -> Sequence[tuple[float, str, Happening | None]]:
        """What begins when, in words, in order; with the event, if it is one."""
        changes = ((one.at, f"stable version: {one}", None) for one in self.stable.changes)
        others = ((one.at, f"candidate version: {one}", None) for one in self.candidate.changes)
        rates = ((one.at, f"{one.rps:g} requests per second", None) for one in self.requests_per_second if one.at > 0)
        events = ((event.at, str(event), event) for event in self.events)
        return sorted((*changes, *others, *rates, *events), key=lambda one: one[0])

    def rate(self, at: float) -> float:
        """Requests per second at a time; none before the first rate."""
        begun = [rate for rate in self.requests_per_second if rate.at <= at]
        return max(begun, key=lambda rate: rate.at).rps if begun else 0.0

    def ray_reachable(self, at: float) -> bool:
        """Whether Ray Serve answers at a time."""
        return not any(
            event.ray_unreachable is not None and event.at <= at < event.at + event.ray_unreachable
            for event in self.events
        )

    def acknowledged_at(self, published: float) -> float:
        """When every router runs a route that was published at a time."""
        at = published + self.acknowledge_after
        for event in sorted(self.events, key=lambda event: event.at):
            if event.router_unacknowledged is not None and event.at <= at < event.at + event.router_unacknowledged:
                at = event.at + event.router_unacknowledged
        return at


def parse_scenario(content: Mapping[str, object], files: Files) -> Scenario:
    """Read a scenario as YAML or JSON gave it. Raises `InvalidScenario`."""
    try:
        return Scenario.model_validate_json(json.dumps(content), context=files)
    except ValidationError as error:
        raise InvalidScenario([*_problems(error)]) from error
    except (TypeError, ValueError) as error:
        raise InvalidScenario([Problem("", f"holds a value that JSON does not know: {error}")]) from error


def _problems(error: ValidationError) -> Iterator[Problem]:
    for one in error.errors(include_url=False):
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"]).removeprefix(".")
        match one["type"]:
            case "extra_forbidden":
                reason = "is not a field of a scenario"
            case "missing":
                reason = "is required"
            case "value_error":
                reason = str(one["ctx"]["error"])
            case "literal_error":
                reason = f"must be {one['ctx']['expected']}, it is {json.dumps(one['input'], default=str)}"
            case _:
                reason = f"is {json.dumps(one['input'], default=str)}: {one['msg'][:1].lower()}{one['msg'][1:]}"
        yield Problem(field or "the scenario", reason)
