"""Somebody deletes the namespace with everything in it, Tidegate included, and without uninstalling it first."""

from tests.e2e.cluster import CHART, answers
from tests.e2e.conftest import installed


async def test_a_namespace_that_is_deleted_with_the_operator_in_it_does_not_hang() -> None:
    with installed("tidegate-e2e-gone", CHART) as cluster:
        cluster.apply(cluster.rollout("iris", "iris-1"))
        await answers(cluster, "iris", 120)
        assert cluster.get("mr", "iris")["metadata"]["finalizers"]
        # Ray's worker takes its time to drain, and the namespace is looked at again only now and then.
        cluster.run("kubectl", "delete", "namespace", cluster.namespace, "--timeout=280s", seconds=300)
