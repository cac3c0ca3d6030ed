"""What goes with a namespace, a rollout and a release, and what stays; the end of the stories before it."""

from dataclasses import replace

from tests.e2e.cluster import RELEASE, Cluster, answers
from tests.e2e.rollouts import aside, healthy, load_on


async def test_a_deleted_namespace_takes_its_rollouts_along_and_disturbs_nobody(cluster: Cluster) -> None:
    [team] = cluster.others
    elsewhere = replace(cluster, namespace=team)
    elsewhere.apply(elsewhere.rollout("leaves", "iris-1"))
    elsewhere.until("leaves", healthy)
    await answers(cluster, "leaves", 30)
    async with load_on(cluster, "iris"):
        await aside(cluster.kubectl, "delete", "namespace", team, "--timeout=120s")
    again = cluster.kubectl("get", "namespace", team, check=False)
    assert "NotFound" in again


def test_a_deleted_rollout_leaves_nothing_behind(cluster: Cluster) -> None:
    cluster.kubectl("delete", "mr", "--all", "--timeout=120s")
    assert cluster.get("modelroutes")["items"] == []


def test_uninstalling_leaves_the_definitions_and_nothing_that_hangs(cluster: Cluster) -> None:
    cluster.apply(cluster.rollout("stays", "iris-1"))
    cluster.until("stays", healthy)
    cluster.helm("uninstall", RELEASE, "--wait")
    ours = ["-l", "app.kubernetes.io/name=tidegate"]
    cluster.kubectl("wait", "--for=delete", "pods", *ours, "--timeout=120s")
    kinds = "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,ingresses"
    kinds += ",networkpolicies,persistentvolumeclaims"
    assert cluster.get(kinds, *ours)["items"] == []
    assert "modelrollouts.tidegate.dev" in cluster.kubectl("get", "crd", "-o", "name")
    assert "stays" in cluster.kubectl("get", "mr", "-o", "name")
    cluster.kubectl("delete", "mr", "stays", "--timeout=60s")
