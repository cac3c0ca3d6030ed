"""The router's intermediate representation: what the traffic of one model should do.

The operator composes these records, the router translates them into Envoy's resources. They are plain frozen values,
so that they can be compared, written to a file, carried through memory (local mode) or through a custom resource.
Only the standard library is imported here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

BASIS_POINTS = 10_000
"""A whole: weights and shares are integers between 0 and this; 1 % is 100."""


@dataclass(frozen=True, slots=True, order=True)
class RouteKey:
    """Names one route: the namespace and name of the rollout that owns it."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where one replica's own HTTP server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Backend:
    """One version of the model.

    `weight` is in basis points. A backend of weight 0 gets no live request, but its cluster and endpoints are sent to
    Envoy all the same, so that they are warm before any weight is given. With `members` the version is many models,
    which requests name as MODEL.MEMBER, and each of them stays with one replica as long as it can.
    """

    version: str
    weight: int
    endpoints: tuple[Endpoint, ...] = ()
    members: bool = False


@dataclass(frozen=True, slots=True)
class Mirror:
    """Copies `share` basis points of the live requests to `version`, whose answers are dropped.

    At most `max_concurrency` copies are under way at once; what is beyond is shed, never queued.
    """

    version: str
    share: int
    max_concurrency: int = 64


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request may be tried again on another replica of the same version.

    Refused connections are always safe to retry. Requests that may have reached the model (reset, 502/503/504) are
    retried only when the rollout says that its model is `idempotent`.
    """

    attempts: int = 2
    idempotent: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """What one thing of a request must be: the header of this name, or what stands at this path of a JSON body.

    Exactly one of `header` and `feature` is given, the latter as the keys that lead to a value within objects. The
    value must be one of `values`, or begin with `prefix`, or be a number of at least `low` and below `high`; without
    any of these it only has to be there. A header's value is text; a feature's is compared with its own type.
    """

    header: str | None = None
    feature: tuple[str, ...] = ()
    values: tuple[str | float | bool, ...] = ()
    prefix: str | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be understood in one way only."""
        if (self.header is None) == (not self.feature):
            raise ValueError("a condition is about either a header or a feature")
        ranged = self.low is not None or self.high is not None
        if (bool(self.values), self.prefix is not None, ranged).count(True) > 1:
            raise ValueError("a condition asks for values, for a prefix, or for a range")
        if self.header is not None and (ranged or any(not isinstance(value, str) for value in self.values)):
            raise ValueError(f"header {self.header} is text: it has values or a prefix")


@dataclass(frozen=True, slots=True)
class Selection:
    """Requests that `version` answers whatever the weights say: those that fit any of `matches`.

    A request fits a match when it fits all of its conditions. Selected requests are not mirrored.
    """

    version: str
    matches: tuple[tuple[Condition, ...], ...]


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie whose value decides the version. Clients without it are given one that lasts `ttl_seconds`."""

    name: str
    ttl_seconds: int


PATH: Final = r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+"
"""What a path of a model's own may be: in the one way in which it can be written, so that it is always matched."""
TAKEN_PATHS: Final = r"/(v2|v1/models|api/v1/models|inference\.GRPCInferenceService)(/.*)?"
"""Paths that belong to the protocols."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a model answers beside the paths that every model has; None for nowhere else.

    `predict` takes predictions with named fields, `health` and `info` say how and what the model is, `openapi` and
    `docs` describe the requests that it takes.
    """

    predict: str | None = None
    health: str | None = None
    info: str | None = None
    openapi: str | None = None
    docs: str | None = None

    @property
    def given(self) -> Mapping[str, str]:
        """The paths that there are, by what they are for."""
        return {name: path for name, path in asdict(self).items() if path is not None}


@dataclass(frozen=True, slots=True)
class Route:
    """All that Envoy must know about one model's traffic.

    `backends` are in the order of Envoy's weighted clusters: the candidate comes first, so that a key that reached it
    at 5 % still does at 10 %. Their weights sum to `BASIS_POINTS`, or all are 0: then the model is known but not yet
    ready, and requests are answered 503 with `retry-after`.
    `sticky_header` names the request header whose value decides the version, `sticky_cookie` the cookie; without
    either the request id does. `exposures` tells the replica with every request which key decided and with what
    share, so that its record says who was exposed to what.
    """

    key: RouteKey
    model: str
    hosts: tuple[str, ...] = ("*",)
    backends: tuple[Backend, ...] = ()
    mirror: Mirror | None = None
    selection: Selection | None = None
    sticky_header: str | None = None
    sticky_cookie: Cookie | None = None
    exposures: bool = False
    timeout_seconds: float = 5.0
    retry: Retry = field(default_factory=Retry)
    max_body_bytes: int = 1 << 20
    paths: Paths = field(default_factory=Paths)

    def __post_init__(self) -> None:
        """Refuse what Envoy would refuse or, worse, accept: a route is whole or it does not exist."""
        total = sum(backend.weight for backend in self.backends)
        if any(backend.weight < 0 for backend in self.backends) or total not in (0, BASIS_POINTS):
            weights = {backend.version: backend.weight for backend in self.backends}
            raise ValueError(
                f"weights of {self.key} must sum to {BASIS_POINTS} basis points or all be 0, got {weights}"
            )
        versions = [backend.version for backend in self.backends]
        if len(set(versions)) != len(versions):
            raise ValueError(f"{self.key} names a version twice: {versions}")
        if self.sticky_header is not None and self.sticky_cookie is not None:
            raise ValueError(f"{self.key} is sticky by a header and by a cookie: one can decide")
        if self.selection is not None and self.selection.version not in versions:
            raise ValueError(f"{self.key} selects for {self.selection.version}, which is none of its {versions}")
        if self.mirror is not None:
            if self.mirror.version not in versions:
                raise ValueError(
                    f"{self.key} mirrors to {self.mirror.version}, which is none of its backends {versions}"
                )
            if not 0 < self.mirror.share <= BASIS_POINTS:
                raise ValueError(
                    f"{self.key} mirrors {self.mirror.share} basis points; 1 to {BASIS_POINTS} are possible"
                )

    @property
    def ready(self) -> bool:
        """Whether any version gets requests."""
        return any(backend.weight for backend in self.backends)

    @property
    def members(self) -> bool:
        """Whether any version is many models."""
        return any(backend.members for backend in self.backends)


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """What the routers say about one published route.

    `acknowledged`: every live Envoy runs exactly the route that was published last. `rejected` is Envoy's own message
    when it refused the configuration (or the translator's, when there was nothing to send).
    """

    acknowledged: bool
    rejected: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class BackendKey:
    """Names the traffic of one version: live, or mirrored."""

    route: RouteKey
    version: str
    mirrored: bool


@dataclass(frozen=True, slots=True)
class TrafficCounters:
    """Cumulative counts of finished upstream requests, since the router began to count.

    `errors` are answers of 500 and above, including Envoy's own for timeouts and lost connections; an attempt that
    was retried is not counted. `bucket_counts[i]` is the number of requests whose time in milliseconds is at most
    `bucket_bounds[i]` and above the bound before it; one more count than bounds, the last for all beyond.
    """

    requests: int = 0
    errors: int = 0
    bucket_bounds: tuple[float, ...] = ()
    bucket_counts: tuple[int, ...] = ()
