"""The world as it is written down: what requests come, how versions answer them, what goes wrong, what people do.

All times count from the moment at which the manifest is applied.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Final, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from operators.api import InvalidManifest, ModelRollout, Problem
from operators.api.block import DNS_LABEL, Block
from operators.api.fields import Duration, format_duration
from operators.simulate.behaviour import Share, Version
from operators.simulate.files import Files

_COMMANDS: Final = {
    "abort",
    "retry",
    "undo",
    "pause",
    "resume",
    "promote",
    "promote --full",
    "promote --force",
    "promote --full --force",
}
_PROMOTE_VARIANT: Final = re.compile(rf"promote --variant {DNS_LABEL[1:-1]}( --force)?")
ROLES: Final = ("stable", "candidate")


class InvalidScenario(Exception):
    """A scenario that makes no sense; its text has a line for each problem, with its field."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """At least one problem."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def _rates(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ({"rps": value},)
    return tuple(value) if isinstance(value, list) else value


def _saying(value: str) -> str:
    if value not in _COMMANDS and _PROMOTE_VARIANT.fullmatch(value) is None:
        raise ValueError(
            f"is {json.dumps(value)}: must be promote (with --full or --variant NAME, with --force), abort, retry, "
            "undo, pause or resume"
        )
    return value


Saying = Annotated[str, AfterValidator(_saying)]
"""What a person types, without `tidegate` and the rollout's name."""


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


class Feedback(Block):
    """What people say: about a `share` of the answers below 500, each `after` so long."""

    share: Share = 0.1
    after: Duration = 60.0


class Happening(Block):
    """Something that happens at a time: exactly one of its fields."""

    at: Duration
    command: Saying | None = None
    ray_unreachable: Duration | None = Field(default=None, gt=0)
    router_unacknowledged: Duration | None = Field(default=None, gt=0)
    replicas_lost: str | None = None
    """Of `stable`, of `candidate`, or of the variant of this name."""
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
            return f"all replicas of {called(self.replicas_lost)} are lost"
        return "another manifest is applied"


class Scenario(Block):
    """Everything outside the operator. Without any field: a healthy candidate at 50 requests per second."""

    duration: Duration = Field(default=86_400.0, gt=0)
    requests_per_second: Annotated[tuple[Rate, ...], BeforeValidator(_rates)] = (Rate(rps=50.0),)
    acknowledge_after: Duration = Field(default=0.1, gt=0)
    matching: Share = 0.01
    """The share of the requests that fits what the manifest selects for a candidate."""
    feedback: Feedback = Feedback()
    stable: Version = Version()
    candidate: Version = Version()
    variants: Mapping[str, Version] = {}
    events: tuple[Happening, ...] = ()

    @property
    def versions(self) -> Iterator[Version]:
        """Every behaviour that is described."""
        yield from (self.stable, self.candidate, *self.variants.values())
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
        described = {"stable": self.stable, "candidate": self.candidate, **self.variants}
        changes = (
            (one.at, f"{called(name).removeprefix('the ')}: {one}", None)
            for name, version in described.items()
            for one in version.changes
        )
        rates = ((one.at, f"{one.rps:g} requests per second", None) for one in self.requests_per_second if one.at > 0)
        events = ((event.at, str(event), event) for event in self.events)
        return sorted((*changes, *rates, *events), key=lambda one: one[0])

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


def called(name: str) -> str:
    """A version as sentences name it, given its role or its variant's name."""
    return f"the {name} version" if name in ROLES else f"variant {name}"


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
            case _:
                reason = f"is {json.dumps(one['input'], default=str)}: {one['msg'][:1].lower()}{one['msg'][1:]}"
        yield Problem(field or "the scenario", reason)
