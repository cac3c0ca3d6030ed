"""Where models may come from, what they may do, and where Ray's pods find them."""

from pathlib import Path

import pytest

from serving.artifacts import require_code
from serving.artifacts.settings import ArtifactSettings
from serving.errors import CodeRefused
from serving.spec import ModelSource
from tests.unit.chart.chart_kit import EXTERNAL, KUBERAY, Object, Refused, container, find, kinds, render, templates
from tests.unit.chart.chart_kit import variables as all_variables

KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"
KEYS = f"artifacts.signatures.publicKeys.team={KEY}"


def ray_pods(*values: str) -> list[Object]:
    pods = [pod for name, pod in templates(render(*values)) if "Ray" in name or "-ray-" in name]
    assert len(pods) == 2
    return pods


def variables(pod: Object) -> dict[str, str]:
    told = all_variables(container(pod, "ray"))
    return {name: value for name, value in told.items() if name.startswith("TIDEGATE_ARTIFACT")}


def mounts(pod: Object) -> dict[str, Object]:
    return {mount["mountPath"]: mount for mount in container(pod, "ray")["volumeMounts"]}


@pytest.mark.parametrize("values", [(), KUBERAY], ids=["embedded", "kuberay"])
def test_replicas_are_told_the_policy_as_it_comes(values: tuple[str, ...]) -> None:
    for pod in ray_pods(*values):
        assert ArtifactSettings.read(variables(pod)) == ArtifactSettings()


def test_as_it_comes_nobody_can_make_a_replica_run_a_pickle_that_nobody_vouches_for() -> None:
    (told, _) = map(variables, ray_pods())
    source = ModelSource("s3://models/iris.joblib", "sklearn")
    with pytest.raises(CodeRefused, match="nobody vouches for it"):
        require_code(source, "iris.joblib, a pickle,", told)
    require_code(ModelSource(source.uri, source.runtime, "0" * 64), "iris.joblib, a pickle,", told)


def test_the_whole_policy_reaches_the_replicas() -> None:
    values = (
        'artifacts.hosts=["*.example.org","http://minio.storage","10.96.0.0/12"]',
        'artifacts.schemes=["https","s3"]',
        "artifacts.maxSize=3Gi",
        "artifacts.timeout=90s",
        "artifacts.cache.size=5G",
        "artifacts.code=never",
        'artifacts.trustedTypes=["mine.Scaler","mine.Other"]',
        "artifacts.signatures.required=true",
        KEYS,
        'models.claims=["team-a","team-b"]',
    )
    for pod in ray_pods(*values):
        policy = ArtifactSettings.read(variables(pod))
        assert not policy.hosts.anyone
        assert policy.hosts.names == {"*.example.org", "minio.storage"}
        assert policy.hosts.plain == {"minio.storage"}
        assert [str(network) for network in policy.hosts.networks] == ["10.96.0.0/12"]
        assert policy.schemes == {"https", "s3"}
        assert (policy.largest, policy.timeout, policy.budget) == (3 << 30, 90.0, 5 * 10**9)
        assert (policy.code, policy.types, policy.signed) == ("never", {"mine.Scaler", "mine.Other"}, True)
        assert policy.keys is not None
        assert mounts(pod)[str(policy.keys)]["readOnly"]
        assert policy.claims is not None
        for claim in ("team-a", "team-b"):
            mount = mounts(pod)[str(policy.claims / claim)]
            assert mount["readOnly"]
            [volume] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == mount["name"]]
            assert volume["persistentVolumeClaim"] == {"claimName": claim, "readOnly": True}


def test_public_keys_are_files_of_their_names() -> None:
    objects = render(KEYS)
    assert find(objects, "ConfigMap", "tidegate-keys")["data"] == {"team.pem": f"{KEY}\n"}
    for name, pod in templates(objects):
        found = [one["configMap"]["name"] for one in pod["spec"].get("volumes", ()) if one["name"] == "artifacts-keys"]
        assert found == (["tidegate-keys"] if "-ray-" in name else [])


def test_signatures_cannot_be_required_without_a_key() -> None:
    with pytest.raises(Refused, match=r"artifacts\.signatures\.publicKeys is empty"):
        render("artifacts.signatures.required=true")


def test_credentials_come_from_a_secret_as_variables_and_as_files() -> None:
    for pod in ray_pods("artifacts.existingSecret=s3"):
        assert container(pod, "ray")["envFrom"] == [{"secretRef": {"name": "s3"}}]
        assert mounts(pod)["/etc/tidegate/artifacts"]["readOnly"]
        assert {"name": "artifacts-secret", "secret": {"secretName": "s3"}} in pod["spec"]["volumes"]


def test_the_cache_may_outlive_a_pod() -> None:
    for pod in ray_pods("artifacts.cache.volume.persistentVolumeClaim.claimName=cache"):
        place = variables(pod)["TIDEGATE_ARTIFACTS"]
        assert mounts(pod)[place] == {"name": "artifacts", "mountPath": place}
        assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": "cache"}} in pod["spec"]["volumes"]
    assert Path(variables(ray_pods()[0])["TIDEGATE_ARTIFACTS"]).is_relative_to("/tmp")


def test_an_external_cluster_gets_no_keys() -> None:
    names = {one["metadata"]["name"] for one in kinds(render(*EXTERNAL, KEYS), "ConfigMap")}
    assert "tidegate-keys" not in names
