"""Versions in a registry of MLflow, which keeps its books in files."""

import os

import pytest
from mlflow.tracking import MlflowClient

from serving.artifacts import digest, obtain, read_beside
from serving.errors import ArtifactRefused, ArtifactUnavailable, UnsupportedModel
from serving.spec import ModelSource


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """`iris` with two versions, the first of them `champion`."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # a database needs more than mlflow-skinny
    folder = tmp_path_factory.mktemp("registry")
    uri = (folder / "store").as_uri()
    client = MlflowClient(uri, uri)
    client.create_registered_model("iris")
    for version in (1, 2):
        model = folder / f"model-{version}"
        (model / "data").mkdir(parents=True)
        (model / "MLmodel").write_text(f"version {version}")
        (model / "data" / "weights").write_bytes(bytes(1000))
        client.create_model_version("iris", model.as_uri())
    client.set_registered_model_alias("iris", "champion", "1")
    return folder, client, uri


@pytest.fixture
def take(registry, tmp_path):
    def take(uri, sha256=None, **told):
        environ = {**os.environ, "MLFLOW_TRACKING_URI": registry[2], **told}
        return obtain(ModelSource(uri, "mlflow", sha256), tmp_path / "cache", environ).path

    return take


def test_a_version_is_a_folder_with_what_was_registered(registry, take):
    path = take("models:/iris/2")
    assert (path / "MLmodel").read_text() == "version 2"
    assert (path / "data" / "weights").stat().st_size == 1000
    assert path.name == "iris"
    assert digest(path) == digest(registry[0] / "model-2")


def test_an_alias_is_the_version_that_it_names_now(registry, take):
    assert (take("models:/iris@champion") / "MLmodel").read_text() == "version 1"
    registry[1].set_registered_model_alias("iris", "champion", "2")
    assert (take("models:/iris@champion") / "MLmodel").read_text() == "version 2"


@pytest.mark.parametrize("uri", ["models:/iris/7", "models:/rose/1", "models:/iris@nobody"])
def test_what_is_not_registered_is_quoted(take, uri):
    with pytest.raises(ArtifactUnavailable, match=rf"^{uri}: .*not found"):
        take(uri)


def test_a_registry_must_be_named(take):
    with pytest.raises(UnsupportedModel, match="set MLFLOW_TRACKING_URI for Ray's processes"):
        take("models:/iris/2", MLFLOW_TRACKING_URI="")


def test_a_registry_at_an_internal_address_is_refused_unless_the_policy_names_it(take):
    with pytest.raises(ArtifactRefused, match=r"127\.0\.0\.1 is not a public address: it would have to be named"):
        take("models:/iris/2", MLFLOW_TRACKING_URI="http://127.0.0.1:1")


def test_nothing_lies_beside_a_version():
    assert read_beside(ModelSource("models:/iris/2", "mlflow"), ".profile.json", 1000) is None
