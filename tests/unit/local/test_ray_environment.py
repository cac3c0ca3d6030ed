"""What Ray's processes are told on one machine."""

from pathlib import Path

import pytest

from operators.local.home import Home
from operators.local.ray import LocalRay
from serving.artifacts.settings import ArtifactSettings
from serving.render import ARTIFACTS_VARIABLE


@pytest.mark.parametrize(("given", "code"), [(None, "always"), ("", "always"), ("verified", "verified")])
def test_models_may_run_code_unless_the_user_says_otherwise(tmp_path: Path, given: str | None, code: str) -> None:
    inherited = {} if given is None else {"TIDEGATE_ARTIFACT_CODE": given}
    told = LocalRay(Home(tmp_path)).environment(inherited)
    assert ArtifactSettings.read(told).code == code
    assert told[ARTIFACTS_VARIABLE] == str(tmp_path / "artifacts")


def test_the_users_own_policy_and_credentials_are_handed_on(tmp_path: Path) -> None:
    inherited = {"TIDEGATE_ARTIFACT_HOSTS": "minio.lan", "AWS_ENDPOINT_URL": "http://minio.lan", "RAY_ADDRESS": "x"}
    told = LocalRay(Home(tmp_path)).environment(inherited)
    assert ArtifactSettings.read(told).hosts.names == {"minio.lan"}
    assert told["AWS_ENDPOINT_URL"] == "http://minio.lan"
    assert "RAY_ADDRESS" not in told
