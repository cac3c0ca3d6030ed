"""The route that follows from a status. Weights are given to versions with endpoints only."""

from collections.abc import Iterator

from operators.api import ModelRollout
from operators.observe import Observed, RouteObservation
from operators.status import RolloutStatus
from router.ir import BASIS_POINTS, Backend, Endpoint, Mirror, Retry, Route, RouteKey
from serving.spec import TargetPhase

_GONE = (TargetPhase.MISSING, TargetPhase.STOPPING)


def endpoints_of(observed: Observed, version: str) -> tuple[Endpoint, ...]:
    """Where the ready replicas of a version listen, sorted. While Ray Serve cannot be asked: where they did last."""
    if observed.serve is None:
        return _published(observed.route, version).endpoints
    state = observed.serve.get(version)
    if state is None or state.phase in _GONE:
        return ()
    return tuple(sorted(Endpoint(replica.host, replica.port) for replica in state.replicas))


def route_of(rollout: ModelRollout, status: RolloutStatus, observed: Observed, now: float) -> Route:
    """What the routers must do.

    Every version that runs is a backend, so that Envoy's cluster for it is warm before it gets weight and after it
    lost it; the candidate comes first. A retiring version leaves the route when its time is over.
    """
    traffic = rollout.spec.traffic
    weights = _weights(status, observed)
    candidate = status.candidate.revision.id if status.candidate is not None else None
    backends = tuple(
        Backend(version, weights.get(version, 0), endpoints_of(observed, version))
        for version in _versions(status, observed, now)
    )
    mirrored = candidate is not None and status.shadow > 0 and sum(weights.values()) > 0
    mirror = None
    if candidate is not None and mirrored and _may_carry(observed, candidate):
        mirror = Mirror(candidate, status.shadow)
    return Route(
        key=RouteKey(rollout.metadata.namespace, rollout.metadata.name),
        model=rollout.metadata.name,
        hosts=traffic.hosts,
        backends=backends,
        mirror=mirror,
        sticky_header=traffic.sticky.header if traffic.sticky is not None else None,
        timeout_seconds=traffic.timeout,
        retry=Retry(traffic.retries.attempts, traffic.retries.idempotent),
        max_body_bytes=traffic.max_body_bytes,
    )


def _weights(status: RolloutStatus, observed: Observed) -> dict[str, int]:
    """Basis points per version: 10,000 in all, or none when nothing that may serve has endpoints.

    A version without endpoints gets nothing; what it was meant to get goes to the other one. A candidate that has no
    weight yet is not used in place of a stable version without endpoints: nothing is known about it.
    """
    stable, candidate = status.stable, status.candidate
    weight = 0
    if candidate is not None and status.weight > 0 and _may_carry(observed, candidate.revision.id):
        weight = status.weight
    if stable is not None and endpoints_of(observed, stable.id):
        weights = {stable.id: BASIS_POINTS - weight}
    elif stable is not None and weight > 0:
        weight, weights = BASIS_POINTS, {}
    else:
        weight, weights = (weight if weight == BASIS_POINTS else 0), {}
    if candidate is not None:
        weights[candidate.revision.id] = weight
    return weights


def _may_carry(observed: Observed, version: str) -> bool:
    """Whether the routers know endpoints of the candidate, and there are some now.

    A step begins only after a route with its endpoints was acknowledged, so after a restart of the operator, with
    nothing published yet, the status can be trusted. When its endpoints were lost in between, the routers must know the
    new ones first.
    """
    if not endpoints_of(observed, version):
        return False
    if observed.route.published is None:
        return True
    backend = _published(observed.route, version)
    carries = backend.weight > 0 or _is_mirror(observed.route.published, version)
    return bool(backend.endpoints) and (carries or observed.route.acknowledged)


def _is_mirror(route: Route, version: str) -> bool:
    return route.mirror is not None and route.mirror.version == version


def _published(route: RouteObservation, version: str) -> Backend:
    backends = route.published.backends if route.published is not None else ()
    return next((backend for backend in backends if backend.version == version), Backend(version, 0))


def _versions(status: RolloutStatus, observed: Observed, now: float) -> Iterator[str]:
    """The versions of the route, in the order of Envoy's weighted clusters."""
    if status.candidate is not None:
        yield status.candidate.revision.id
    if status.stable is not None:
        yield status.stable.id
    for retiring in status.retiring:
        if retiring.until > now or observed.serve is None:
            yield retiring.revision.id
