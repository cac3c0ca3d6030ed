"""What holds while nothing can be decided: the plan that changes nothing."""

from collections.abc import Mapping
from dataclasses import replace

from operators.api import ModelRollout, RolloutKey, sizes_of, target_of
from operators.plan import Plan
from router.ir import Backend, Endpoint, Route
from serving.spec import TargetState


def as_it_is(
    rollout: ModelRollout, route: Route | None, serve: Mapping[RolloutKey, Mapping[str, TargetState]] | None
) -> Plan:
    """All versions that the status names, and the route that is there.

    Only replicas that were replaced are followed to where they are now.
    """
    status = rollout.status
    held = [status.stable] if status.stable else []
    held += [beside.revision for beside in (status.candidate, *status.retiring) if beside is not None]
    held += [variant.revision for variant in status.variants if not variant.failure]
    sized = sizes_of(rollout.spec.serving, status)
    revisions = {revision.id: revision for revision in held}
    if route is not None and serve is not None:
        states = serve.get(rollout.key, {})
        route = replace(route, backends=tuple(_followed(one, states.get(one.version)) for one in route.backends))
    targets = (target_of(revision, rollout, sized.get(revision.id)) for revision in revisions.values())
    return Plan(tuple(targets), route, status)


def _followed(backend: Backend, state: TargetState | None) -> Backend:
    """The backend with the replicas that it has now; with those that it had, if it has none."""
    if state is None or not state.replicas:
        return backend
    return replace(backend, endpoints=tuple(sorted(Endpoint(one.host, one.port) for one in state.replicas)))
