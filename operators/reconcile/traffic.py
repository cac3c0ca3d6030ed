"""The route that follows from a status. Weights are given to versions with endpoints only."""

from collections.abc import Iterator, Mapping

from operators.api import ModelRollout, hosts_many
from operators.api.strategies import Condition as ManifestCondition
from operators.api.strategies import Match
from operators.observe import Observed, RouteObservation
from operators.status import Revision, RolloutStatus
from router.ir import (
    BASIS_POINTS,
    Backend,
    Condition,
    Cookie,
    Endpoint,
    Mirror,
    Paths,
    Retry,
    Route,
    RouteKey,
    Selection,
)
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
    lost it; the candidate and the variants come first. A retiring version leaves the route when its time is over.
    """
    traffic, strategy = rollout.spec.traffic, rollout.spec.strategy
    sticky = traffic.sticky
    weights = _weights(status, observed)
    backends = tuple(
        Backend(one.id, weights.get(one.id, 0), endpoints_of(observed, one.id), hosts_many(one))
        for one in _versions(status, observed, now)
    )
    return Route(
        key=RouteKey(rollout.metadata.namespace, rollout.metadata.name),
        model=rollout.metadata.name,
        hosts=traffic.hosts,
        backends=backends,
        mirror=_mirror(rollout, status, observed) if any(weights.values()) else None,
        selection=_selection(rollout, status, observed) if any(weights.values()) else None,
        sticky_header=sticky.header if sticky is not None else None,
        sticky_cookie=Cookie(sticky.cookie, round(sticky.ttl)) if sticky is not None and sticky.cookie else None,
        exposures=strategy is not None and (strategy.ab_test is not None or strategy.bandit is not None),
        timeout_seconds=traffic.timeout,
        retry=Retry(traffic.retries.attempts, traffic.retries.idempotent),
        max_body_bytes=traffic.max_body_bytes,
        paths=Paths(**traffic.paths.given),
    )


def selecting(rollout: ModelRollout) -> tuple[Match, ...]:
    """Which requests the manifest selects for a candidate: any of these."""
    strategy = rollout.spec.strategy
    if strategy is not None and strategy.blue_green is not None:
        return strategy.blue_green.preview_match
    return rollout.spec.traffic.match


def _mirror(rollout: ModelRollout, status: RolloutStatus, observed: Observed) -> Mirror | None:
    candidate, strategy = status.candidate, rollout.spec.strategy
    if candidate is None or status.shadow == 0 or not _may_carry(observed, candidate.revision.id):
        return None
    if strategy is not None and strategy.shadow is not None:
        return Mirror(candidate.revision.id, status.shadow, strategy.shadow.max_concurrency)
    return Mirror(candidate.revision.id, status.shadow)


def _selection(rollout: ModelRollout, status: RolloutStatus, observed: Observed) -> Selection | None:
    candidate, matches = status.candidate, selecting(rollout)
    if candidate is None or not status.selected or not matches or not _may_carry(observed, candidate.revision.id):
        return None
    return Selection(
        candidate.revision.id,
        tuple(tuple(_condition(condition) for condition in match.conditions) for match in matches),
    )


def _condition(condition: ManifestCondition) -> Condition:
    return Condition(
        header=condition.header.lower() if condition.header is not None else None,
        feature=tuple(condition.feature.split(".")) if condition.feature is not None else (),
        values=condition.in_ if condition.exact is None else (condition.exact,),
        prefix=condition.prefix,
        low=condition.min,
        high=condition.below,
    )


def _weights(status: RolloutStatus, observed: Observed) -> dict[str, int]:
    """Basis points per version: 10,000 in all, or none when nothing that may serve has endpoints.

    A version without endpoints gets nothing; what it was meant to get goes to stable or, if that has none either, to
    the others. A version that has no weight yet is not used in place of a stable one without endpoints: nothing is
    known about it.
    """
    stable, wanted = status.stable, wanted_weights(status)
    given = {version: weight for version, weight in wanted.items() if weight > 0 and _may_carry(observed, version)}
    if stable is not None and endpoints_of(observed, stable.id):
        given[stable.id] = BASIS_POINTS - sum(given.values())
    elif stable is not None:
        given = _spread(given)
    elif sum(given.values()) != BASIS_POINTS:
        given = {}
    return dict.fromkeys(wanted, 0) | given


def wanted_weights(status: RolloutStatus) -> dict[str, int]:
    """What every version beside the stable one is meant to get, in basis points."""
    weights = {one.revision.id: one.weight for one in status.variants if not one.failure}
    if status.candidate is not None:
        weights[status.candidate.revision.id] = status.weight
    return weights


def _spread(weights: Mapping[str, int]) -> dict[str, int]:
    """The same proportions, 10,000 in all; what rounding leaves goes to the first."""
    total = sum(weights.values())
    spread = {version: weight * BASIS_POINTS // total for version, weight in weights.items()}
    for version in spread:
        spread[version] += BASIS_POINTS - sum(spread.values())
        break
    return spread


def _may_carry(observed: Observed, version: str) -> bool:
    """Whether the routers know endpoints of the version, and there are some now.

    A step begins only after a route with its endpoints was acknowledged, so after a restart of the operator, with
    nothing published yet, the status can be trusted. When its endpoints were lost in between, the routers must know the
    new ones first.
    """
    if not endpoints_of(observed, version):
        return False
    if observed.route.published is None:
        return True
    backend = _published(observed.route, version)
    carries = backend.weight > 0 or _is_beside(observed.route.published, version)
    return bool(backend.endpoints) and (carries or observed.route.acknowledged)


def _is_beside(route: Route, version: str) -> bool:
    """Whether the version gets requests beside the weights: copies, or selected ones."""
    mirrored = route.mirror is not None and route.mirror.version == version
    return mirrored or (route.selection is not None and route.selection.version == version)


def _published(route: RouteObservation, version: str) -> Backend:
    backends = route.published.backends if route.published is not None else ()
    return next((backend for backend in backends if backend.version == version), Backend(version, 0))


def _versions(status: RolloutStatus, observed: Observed, now: float) -> Iterator[Revision]:
    """The versions of the route, in the order of Envoy's weighted clusters."""
    if status.candidate is not None:
        yield status.candidate.revision
    yield from (one.revision for one in status.variants if not one.failure)
    if status.stable is not None:
        yield status.stable
    for retiring in status.retiring:
        if retiring.until > now or observed.serve is None:
            yield retiring.revision
