"""How many replicas a version should have, by the requests in flight at its replicas' own servers.

Ray Serve 2.60 asks `policy` ten times a second, in its controller. It sends the functions there as source of their own
(pickled by value), so that this module needs nothing but the standard library. Ray Serve adds the bounds, and acts only
on what holds for the whole of a delay: https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

IN_FLIGHT: Final = "tidegate_in_flight"
"""What replicas call the number of their requests in flight, those that wait for the model included."""
REPORT_SECONDS: Final = 2.0
"""How often a replica reports to Ray Serve's controller."""
WINDOW_SECONDS: Final = 5.0
"""What is reported is sampled every fifth of this time, and counts as the mean over it."""
TOLERANCE: Final = 0.1
"""How far, relative to the target, the load may be off before the size follows; 0.1 as for Kubernetes' autoscaler."""


def desired(in_flight: Sequence[float], missing: int, wanted: int, target: float) -> float:
    """The number of replicas for this load, `wanted` where that is near enough.

    `in_flight` are the replicas' reports, `missing` counts running replicas without one. These count as idle for
    growing and as busy for shrinking: what is not known changes nothing. `target` is requests in flight per replica.
    Growing begins above `wanted` full replicas and 10 %; shrinking leaves 10 % free, so that it is not undone at once.
    The rules are those of https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details.
    """
    load = sum(in_flight)
    if load > (1 + TOLERANCE) * wanted * target:
        return math.ceil(load / target)
    return min(wanted, max(1, math.ceil((load + missing * target) / ((1 - TOLERANCE) * target))))


def policy(context: "AutoscalingContext") -> tuple[float, dict[str, Any]]:
    """Ray Serve's question: the size for now, and a state to remember, which is none."""
    running = context.running_replicas
    fixed = context.capacity_adjusted_min_replicas == context.capacity_adjusted_max_replicas
    if fixed or not running:  # without a replica there is no load to judge by, and a fixed size needs none
        return context.target_num_replicas, {}
    reports = (context.aggregated_metrics or {}).get(IN_FLIGHT, {})
    known = [reports[replica] for replica in running if replica in reports]
    missing = len(running) - len(known)
    config: Any = context.config
    return desired(known, missing, context.target_num_replicas, config.target_ongoing_requests), {}
