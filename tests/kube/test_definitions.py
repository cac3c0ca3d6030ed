"""What the API server makes of the definitions: what it refuses, fills in, explains and shows."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from operators.api import METRICS, InvalidManifest, crd, experiment_digest, parse_manifest, revision_of, status_to_json
from operators.api.problem import Problem
from operators.status import Condition, Phase, RolloutStatus
from router.ir import Backend, Endpoint, Mirror, Route, RouteKey
from router.modelroute import route_of, spec_of
from tests.kube.apiserver import ApiServer
from tests.unit.core.bad_manifests import BAD
from tests.unit.core.manifest_parts import CHECKS, MANIFEST, MATCH, STEPS, WEB, with_field, with_fields
from tests.unit.core.strategy_manifests import BAD_STRATEGIES, GOOD

INPUTS: Final = "spec.model.inputs"
EXAMPLES = Path(__file__).parents[2] / "deployments" / "examples"
OPERATOR_ONLY: Final = {
    (INPUTS, "must be a number"),
    (INPUTS, "must be a whole number, as its datatype INT8 is"),
    (INPUTS, "must be text, as its datatype BYTES is"),
    (INPUTS, "must be a boolean, as its datatype BOOL is"),
    (INPUTS, "is less than min, 2"),
    (INPUTS, "is more than max, 2"),
    (INPUTS, "is none of values"),
    (STEPS, "no requests before"),
    (f"{CHECKS}.0.max", "either max"),
    (f"{CHECKS}.0", "needs either max"),
    (f"{CHECKS}.0", "between 0 and 1"),
    (f"{CHECKS}.0.margin", "between 0 and 1"),
    (f"{CHECKS}.1", "must be a duration"),
    (f"{CHECKS}.1", "means nothing for shadow-agreement: its bound is min"),
    (f"{CHECKS}.1", "is 1.5; a share between 0 and 1"),
    (f"{CHECKS}.1", "a number is expected"),
    (f"{CHECKS}.1", "is -1; a number of at"),
    (f"{CHECKS}.1", "web needs min, max or both, which are numbers"),
    (f"{CHECKS}.1", "is '9'; a number is expected"),
    (f"{CHECKS}.1", "is 1, but min is 2"),
    (f"{CHECKS}.1", "has {{modle}}, which nothing fills in; known here: {{version}}, {{stable}}, {{model}}"),
    (f"{CHECKS}.1.max", "must be a duration"),
    (f"{CHECKS}.1.max", "not a duration"),
    (f"{CHECKS}.1.max", "no request is that fast"),
    ("spec.traffic.sticky", "cookies last whole seconds"),
    (MATCH, "must be text, a number, true or false, it is [1]"),
    (MATCH, "must be text, as a header's value is: put it in quotes"),
    (MATCH, "must be text, as a header's value is"),
    (MATCH, "(min, below); here are exact and prefix"),
    (MATCH, "is more than 16384 bytes in all"),
    (MATCH, "has allOf and beside it exact: make that a conditio"),
    ("status", "was not written by Tidegate"),
}
"""What only the operator refuses, by its condition `Accepted`: a shadow taken back before an analysis, because a
CEL rule knows no step's place; `max`, `margin`, `exact`, `in`, and an input's `values`, `default` and `example`, which
are numbers or text, because what a field of several types holds is out of CEL's reach; what a query or an address
names; a cookie's time, because CEL does not compute with our durations. A status that comes with a manifest is passed
over by the API server."""


def apply(api_server: ApiServer, namespace: str, document: dict[str, Any], *options: str) -> str:
    """What kubectl says about a manifest."""
    done = api_server.kubectl(
        "-n", namespace, "apply", "-f", "-", *options, input=yaml.safe_dump(document), check=False
    )
    return done.stdout + done.stderr


def read(api_server: ApiServer, namespace: str, what: str = "mr/iris") -> dict[str, Any]:
    return dict(
        json.loads(api_server.kubectl("-n", namespace, "get", what, "-o", "json", "--show-managed-fields").stdout)
    )


def problems_of(document: dict[str, Any]) -> tuple[Problem, ...]:
    """What the operator finds wrong with a manifest."""
    try:
        parse_manifest(document)
    except InvalidManifest as error:
        return error.problems
    return ()


def names(said: str, field: str) -> bool:
    """Whether the API server complains about the field, or about the block where a rule about several fields stands."""
    block = field.rpartition(".")[0]
    blocks = (f"{block}: ", re.sub(r"\[\d+\]$", ": ", block), re.sub(r"\[\d+\].*", ": ", field))
    return field in said or any(name in said for name in blocks)


@pytest.mark.parametrize(("path", "value", "field", "reason"), BAD)
def test_the_api_server_refuses_what_makes_no_sense_and_names_the_field(
    api_server: ApiServer, path: str, value: object, field: str, reason: str
) -> None:
    said = apply(api_server, "default", with_field(path, value), "--dry-run=server")
    if (path, reason) in OPERATOR_ONLY:
        assert said == "modelrollout.tidegate.dev/iris created (server dry run)\n"
        return
    if field in ("apiVersion", "kind"):
        assert "no matches for kind" in said
        return
    assert re.search("is invalid|strict decoding error", said), said
    assert names(said, field), said


@pytest.mark.parametrize(("changes", "field", "reason"), BAD_STRATEGIES)
def test_the_api_server_refuses_a_strategy_that_makes_no_sense_and_names_the_field(
    api_server: ApiServer, changes: dict[str, object], field: str, reason: str
) -> None:
    said = apply(api_server, "default", with_fields(changes), "--dry-run=server")
    assert "is invalid" in said, (reason, said)
    assert names(said, field), said


def test_the_api_server_and_the_operator_agree_about_bounds_of_every_kind_of_check(api_server: ApiServer) -> None:
    """But for what only the operator sees: the bound `max`."""
    values = {"share": 0.5, "number": 0.5, "duration": "50ms"}
    subjects: list[tuple[dict[str, object], str]] = [
        *(({"metric": name}, metric.unit) for name, metric in METRICS.items()),
        ({"prometheus": {"query": "up"}}, "number"),
        ({"web": WEB}, "number"),
        ({}, "number"),
    ]
    documents = {}
    for number, ((subject, unit), given) in enumerate(product(subjects, product([False, True], repeat=4))):
        bounds = {"min": 0.5, "max": values[unit], "versus": "stable", "margin": values[unit]}
        check = (
            {"name": "c"} | subject | {name: bounds[name] for name, there in zip(bounds, given, strict=True) if there}
        )
        manifest = with_field(CHECKS, [check])
        documents[f"c{number}"] = manifest | {"metadata": {"name": f"c{number}"}}
    said = api_server.kubectl(
        *("-n", "default", "apply", "-f", "-", "--dry-run=server"),
        input=yaml.safe_dump_all(documents.values()),
        check=False,
    )
    taken = set(re.findall(r"/(c\d+) created", said.stdout))
    for name, document in documents.items():
        check, problems = document["spec"]["analysis"]["checks"][0], problems_of(document)
        if name in taken:
            assert ("versus" in check) == ("margin" in check), check
            assert all("max" in str(problem) for problem in problems), (check, problems)
        else:
            assert problems, (check, said.stderr)


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_the_api_server_accepts_every_strategy_and_fills_in_the_defaults_of_the_types(
    api_server: ApiServer, namespace: str, changes: dict[str, object]
) -> None:
    manifest = with_fields(changes)
    assert apply(api_server, namespace, manifest) == "modelrollout.tidegate.dev/iris created\n"
    stored, written = parse_manifest(read(api_server, namespace)), parse_manifest(manifest)
    assert stored.spec == written.spec
    assert revision_of(stored) == revision_of(written)
    assert experiment_digest(stored) == experiment_digest(written)


def test_a_good_manifest_is_accepted_with_fractions_and_whole_numbers(api_server: ApiServer, namespace: str) -> None:
    assert apply(api_server, namespace, MANIFEST) == "modelrollout.tidegate.dev/iris created\n"
    assert parse_manifest(read(api_server, namespace)).spec == parse_manifest(MANIFEST).spec


def test_the_api_server_fills_in_the_same_defaults_as_the_types(api_server: ApiServer, namespace: str) -> None:
    bare = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "iris"}}
    bare["spec"] = {"model": {"uri": "file:///models/iris.joblib", "runtime": "sklearn"}}
    apply(api_server, namespace, bare)
    stored = read(api_server, namespace)
    assert stored["spec"]["serving"]["replicas"] == 1
    assert stored["spec"]["traffic"]["timeout"] == "5s"
    assert parse_manifest(stored).spec == parse_manifest(bare).spec


@pytest.mark.parametrize("way", [[], ["--server-side"]], ids=["client-side", "server-side"])
@pytest.mark.parametrize("example", sorted((EXAMPLES / "kubernetes").glob("*.yaml")), ids=lambda path: path.name)
def test_applying_a_manifest_again_changes_nothing(
    api_server: ApiServer, namespace: str, example: Path, way: list[str]
) -> None:
    api_server.kubectl("-n", namespace, "apply", "-f", str(example), *way)
    before = read(api_server, namespace)["metadata"]
    api_server.kubectl("-n", namespace, "apply", "-f", str(example), *way)
    assert read(api_server, namespace)["metadata"] == before
    assert api_server.kubectl("-n", namespace, "diff", "-f", str(example), *way).stdout == ""


def test_kubectl_get_shows_where_a_rollout_stands_and_wait_waits_for_it(api_server: ApiServer, namespace: str) -> None:
    apply(api_server, namespace, MANIFEST)
    rollout = parse_manifest(read(api_server, namespace))
    conditions = (
        Condition("Ready", True, "Stable", "abc serves all requests", 0.0),
        Condition("Analysed", True, "Pass", "all good", 0.0),
    )
    status = RolloutStatus(observed_generation=1, phase=Phase.HEALTHY, step=3, weight=525, conditions=conditions)
    patch = json.dumps(
        {"status": status_to_json(status) | {"answered": {"token": "t", "commands": ["tidegate.dev/undo"]}}}
    )
    api_server.kubectl("-n", namespace, "patch", "mr/iris", "--subresource=status", "--type=merge", "-p", patch)
    head, line = api_server.kubectl("-n", namespace, "get", "mr").stdout.splitlines()
    assert head.split() == ["NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CANDIDATE", "VERDICT", "AGE"]
    assert line.split()[:4] == ["iris", "Healthy", "3", "5.25"]
    assert "Pass" in line
    api_server.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=30s", "mr/iris")
    stored = parse_manifest(read(api_server, namespace))
    assert stored.status == status
    assert stored.metadata.generation == rollout.metadata.generation


def test_kubectl_explain_describes_every_field(api_server: ApiServer) -> None:
    steps = api_server.kubectl("explain", "modelrollout.spec.strategy.canary.steps").stdout
    for said in ("setWeight\t<number>", "Percent of the live requests for the candidate.", "Waits until every check"):
        assert said in steps
    assert "maxBodyBytes" in api_server.kubectl("explain", "mroute.spec").stdout


def test_kubectl_scale_changes_the_number_of_replicas(api_server: ApiServer, namespace: str) -> None:
    apply(api_server, namespace, MANIFEST)
    api_server.kubectl("-n", namespace, "scale", "mr/iris", "--replicas=5")
    assert read(api_server, namespace)["spec"]["serving"]["replicas"] == 5
    assert crd()["spec"]["versions"][0]["subresources"]["scale"]["statusReplicasPath"] == ".status.stableReady"


def test_kubectl_scale_leaves_a_size_alone_that_follows_requests(api_server: ApiServer, namespace: str) -> None:
    spec = MANIFEST["spec"] | {"serving": {"autoscaling": {"maxReplicas": 4}}}
    apply(api_server, namespace, MANIFEST | {"spec": spec})
    done = api_server.kubectl("-n", namespace, "scale", "mr/iris", "--replicas=5", check=False)
    assert done.returncode != 0
    assert "spec.serving.autoscaling lets it follow the requests" in done.stderr
    assert read(api_server, namespace)["spec"]["serving"]["replicas"] == 1
    parse_manifest(read(api_server, namespace))


def test_a_route_is_stored_as_it_was_written_and_routers_answer_side_by_side(
    api_server: ApiServer, namespace: str
) -> None:
    key = RouteKey(namespace, "iris")
    backends = (Backend("b", 525, (Endpoint("10.0.0.1", 8000),)), Backend("a", 9475, (Endpoint("10.0.0.2", 8000),)))
    mirror = Mirror("b", 10_000)
    route = Route(key, "iris", ("a.example", "*"), backends, mirror, sticky_header="x-user-id", timeout_seconds=2.5)
    manifest = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": "iris"},
        "spec": spec_of(route),
    }
    apply(api_server, namespace, manifest)
    for router in ("router-a", "router-b"):
        patch = json.dumps({"status": {"routers": {router: {"generation": 1, "rejected": ""}}}})
        api_server.kubectl("-n", namespace, "patch", "mroute/iris", "--subresource=status", "--type=merge", "-p", patch)
    stored = read(api_server, namespace, "mroute/iris")
    assert route_of(key, stored["spec"]) == route
    assert stored["status"]["routers"].keys() == {"router-a", "router-b"}
    shown = api_server.kubectl("-n", namespace, "get", "mroute").stdout.splitlines()[1].split()
    assert shown[:7] == ["iris", "iris", '["a.example","*"]', "b", "525", "a", "9475"]


def test_the_api_server_refuses_a_route_that_no_router_could_run(api_server: ApiServer, namespace: str) -> None:
    spec = spec_of(Route(RouteKey(namespace, "iris"), "iris")) | {"maxBodyBytes": 0}
    manifest = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": "iris"},
        "spec": spec,
    }
    assert "spec.maxBodyBytes" in apply(api_server, namespace, manifest)
