"""Who may do what: the least that the code needs, in as few namespaces as it needs it."""

from collections.abc import Sequence

import pytest

from tests.unit.chart.chart_kit import NAMESPACE, VARIANTS, Object, find, kinds, render

TIDEGATE = "tidegate.dev"
Allowed = set[tuple[str, str, str]]


def allowed(objects: Sequence[Object], account: str, namespace: str | None) -> Allowed:
    """What an account may do in a namespace (None: in all of them), as (group, resource, verb)."""
    found: Allowed = set()
    for binding in kinds(objects, "RoleBinding", "ClusterRoleBinding"):
        [subject] = binding["subjects"]
        if subject != {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}:
            continue
        if binding["metadata"].get("namespace") != namespace:
            continue
        assert binding["kind"] == f"{binding['roleRef']['kind']}Binding"
        roles = [
            one
            for one in kinds(objects, binding["roleRef"]["kind"])
            if one["metadata"]["name"] == binding["roleRef"]["name"]
            and (namespace is None or one["metadata"].get("namespace", NAMESPACE) == namespace)
        ]
        for rule in roles[0]["rules"]:
            found |= {
                (group, resource, verb)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


OPERATOR = (
    {(TIDEGATE, "modelrollouts", verb) for verb in ("get", "list", "watch", "patch")}
    | {(TIDEGATE, "modelroutes", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")}
    | {(TIDEGATE, "modelrollouts/status", "patch"), (TIDEGATE, "modelroutes/status", "patch"), ("", "events", "create")}
)
OPERATOR_AT_HOME = {("", "namespaces", "get"), ("", "pods", "list"), ("", "pods", "watch")} | {
    ("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")
}
ROUTER = {(TIDEGATE, "modelroutes", verb) for verb in ("get", "list", "watch")} | {
    (TIDEGATE, "modelroutes/status", "patch")
}
RELEASE = {(TIDEGATE, "modelrollouts", verb) for verb in ("get", "list", "patch")}
RELEASE_AT_HOME = {("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")}


@pytest.mark.parametrize(
    ("values", "watched"),
    [
        ((), (NAMESPACE,)),
        (VARIANTS["some namespaces"], (None,)),
        (VARIANTS["all namespaces"], (None,)),
    ],
)
def test_accounts_may_do_exactly_this(values: tuple[str, ...], watched: tuple[str | None, ...]) -> None:
    objects = render(*values)
    for account, there, at_home in (
        ("tidegate-operator", OPERATOR, OPERATOR_AT_HOME),
        ("tidegate-router", ROUTER, set()),
        ("tidegate-release", RELEASE, RELEASE_AT_HOME),
        ("tidegate-ray", set(), set()),
    ):
        for namespace in {*watched, NAMESPACE}:
            wanted = (there if namespace in watched else set()) | (at_home if namespace == NAMESPACE else set())
            assert allowed(objects, account, namespace) == wanted, (account, namespace)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_there_are_no_wildcards_and_only_who_follows_other_namespaces_has_cluster_roles(
    values: tuple[str, ...],
) -> None:
    objects = render(*values)
    for role in kinds(objects, "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], role["metadata"]["name"]
    wide = kinds(objects, "ClusterRole", "ClusterRoleBinding")
    assert bool(wide) == (values in (VARIANTS["all namespaces"], VARIANTS["some namespaces"]))


def test_only_the_operators_own_lease_may_be_changed() -> None:
    for name in ("tidegate-operator-own", "tidegate-release-own"):
        for rule in find(render(), "Role", name)["rules"]:
            if rule["resources"] == ["leases"] and rule["verbs"] != ["create"]:
                assert rule["resourceNames"] == ["tidegate-operator"]
    assert find(render(), "Lease", "tidegate-operator")["metadata"]["labels"]["app.kubernetes.io/name"] == "tidegate"


def test_no_account_is_mounted_into_pods_that_do_not_ask_for_it() -> None:
    for account in kinds(render(), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
