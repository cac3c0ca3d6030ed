"""The cluster's policy: what it says, what it makes of pickles, and that nothing of what is secret is told."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from serving.artifacts import digest, obtain, read_beside
from serving.artifacts.hosts import Hosts
from serving.artifacts.redact import LONGEST, redact
from serving.artifacts.settings import ArtifactSettings
from serving.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    BadArtifactSettings,
    CodeRefused,
    UnsupportedModel,
    UntrustedType,
)
from serving.runtimes import load
from serving.spec import ModelSource
from serving.uri import parse

PREFIX = "TIDEGATE_ARTIFACT_"


class Hostile:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


class Steps(LinearRegression):
    """A class of this module: foreign to skops and scikit-learn."""


@pytest.fixture
def tell(monkeypatch):
    def tell(**values):
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name, value)

    monkeypatch.delenv(f"{PREFIX}CODE", raising=False)
    return tell


@pytest.fixture
def hostile(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Hostile(mark)))
    return path, mark


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib"])
@pytest.mark.parametrize(
    ("code", "promised", "why"),
    [
        (None, False, "a pickle, runs code when it is loaded, and nobody vouches for it: write spec.model.sha256"),
        ("verified", False, "nobody vouches for it"),
        ("never", False, "TIDEGATE_ARTIFACT_CODE is never: use skops, ONNX or a native format"),
        ("never", True, "TIDEGATE_ARTIFACT_CODE is never"),
    ],
)
def test_a_hostile_pickle_is_refused_and_does_nothing(hostile, tmp_path, tell, name, code, promised, why):
    given, mark = hostile
    path = given.rename(tmp_path / name)
    tell(**({"CODE": code} if code else {}))
    with pytest.raises(CodeRefused) as refused:
        load(ModelSource(path.as_uri(), "sklearn", digest(path) if promised else None), tmp_path / "cache")
    assert why in str(refused.value)
    assert not mark.exists()
    joblib.load(path)
    assert mark.exists(), "it would have done something"


@pytest.mark.parametrize(("code", "promised"), [("always", False), ("verified", True), ("always", True)])
def test_a_pickle_is_loaded_where_the_policy_allows_it(tmp_path, tell, code, promised):
    path = tmp_path / "model.joblib"
    joblib.dump(LinearRegression().fit([[1.0], [2.0]], [1, 2]), path)
    tell(CODE=code)
    model = load(ModelSource(path.as_uri(), "sklearn", digest(path) if promised else None), tmp_path / "cache")
    assert model.signature.width == 1


def test_a_skops_file_is_loaded_under_every_policy_and_its_types_are_trusted_by_name(tmp_path, tell):
    tell(CODE="never")
    plain, own = tmp_path / "plain.skops", tmp_path / "own.skops"
    skops.io.dump(LinearRegression().fit([[1.0], [2.0]], [1, 2]), plain)
    skops.io.dump(Steps().fit([[1.0], [2.0]], [1, 2]), own)
    assert load(ModelSource(plain.as_uri(), "sklearn"), tmp_path / "cache").signature.width == 1
    with pytest.raises(UntrustedType, match="Steps"):
        load(ModelSource(own.as_uri(), "sklearn"), tmp_path / "cache")
    tell(TYPES=f"some.Other, {__name__}.Steps")
    assert load(ModelSource(own.as_uri(), "sklearn"), tmp_path / "cache").signature.width == 1


def test_the_policy_is_read_from_the_environment():
    told = {
        "HOSTS": "a.example, 10.0.0.0/8",
        "SCHEMES": "s3 https",
        "MAX_SIZE": "2Gi",
        "TIMEOUT": "3m",
        "CACHE_SIZE": "500",
        "CLAIMS": "/claims",
        "KEYS": "/keys",
        "SIGNED": "always",
        "CODE": "never",
        "TYPES": "a.B,c.D",
    }
    assert ArtifactSettings.read({PREFIX + name: value for name, value in told.items()}) == ArtifactSettings(
        hosts=Hosts.read("a.example,10.0.0.0/8"),
        schemes=frozenset({"s3", "https"}),
        largest=2 << 30,
        timeout=180.0,
        budget=500,
        claims=Path("/claims"),
        keys=Path("/keys"),
        signed=True,
        code="never",
        types=frozenset({"a.B", "c.D"}),
    )
    assert ArtifactSettings.read({f"{PREFIX}CODE": ""}) == ArtifactSettings()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("HOSTS", "http://minio:9000", "'http://minio:9000': write *, NAME"),
        ("SCHEMES", "ftp", "'ftp': file, pvc,"),
        ("MAX_SIZE", "large", "'large': write a size such as 10Gi"),
        ("TIMEOUT", "10", "'10': write a time such as 90s or 10m"),
        ("CODE", "yes", "'yes': always, verified, never are possible"),
        ("SIGNED", "maybe", "'maybe': always, never are possible"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(tmp_path, tell, name, value, why):
    tell(**{name: value})
    with pytest.raises(BadArtifactSettings) as refused:
        obtain(ModelSource("file:///model", "sklearn"), tmp_path)
    assert f"the variable TIDEGATE_ARTIFACT_{name} of Ray's processes cannot be {why}" in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    ["/models/iris", "file://host/model", "ftp://a/b", "s3://a::b", "pvc://a/../b", "https://example.org/m?sig=x"],
)
def test_a_uri_that_is_none_is_refused(tmp_path, uri):
    with pytest.raises(UnsupportedModel, match="the URI "):
        obtain(ModelSource(uri, "sklearn"), tmp_path)


def test_a_scheme_that_the_policy_leaves_out_is_refused_even_for_files(tmp_path, tell):
    tell(SCHEMES="s3,pvc")
    with pytest.raises(ArtifactRefused, match="models may not come by file:, but by pvc:, s3:"):
        obtain(ModelSource("file:///model", "sklearn"), tmp_path)


@pytest.mark.parametrize(("schemes", "comes"), [("models", False), ("models,file", True)])
def test_a_registry_leads_to_local_files_only_where_uris_may(tmp_path, schemes, comes):
    store, model = tmp_path / "store", tmp_path / "model-1"
    model.mkdir()
    (model / "MLmodel").write_text("flavors")
    environ = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": store.as_uri()}
    program = (
        "import sys; from mlflow.tracking import MlflowClient; client = MlflowClient(sys.argv[1], sys.argv[1]); "
        "client.create_registered_model('iris'); client.create_model_version('iris', sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", program, store.as_uri(), model.as_uri()], env=environ, check=True)
    environ[f"{PREFIX}SCHEMES"] = schemes
    source = ModelSource("models:/iris/1", "mlflow")
    if comes:
        assert (obtain(source, tmp_path / "cache", environ).path / "MLmodel").is_file()
    else:
        with pytest.raises(ArtifactRefused, match="a place in the file system, and models may not come by file:"):
            obtain(source, tmp_path / "cache", environ)


@pytest.mark.parametrize(
    "uri", ["models:/../1", "models:/.@champion", "file:///models/..", "file:////", "file:///a%00b"]
)
def test_no_model_is_called_like_a_place_in_the_cache(uri):
    assert parse(uri).name == "model"


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [
        ("s3://models/a", "s3fs", "s3"),
        ("gs://models/a", "gcsfs", "gs"),
        ("az://models/a", "adlfs", "azure"),
        ("models:/a/1", "mlflow-skinny", "mlflow"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, uri, package, extra):
    """The import is made to fail by a module of the same name that comes first."""
    module = tmp_path / "path" / f"{package.partition('-')[0]}.py"
    module.parent.mkdir()
    module.write_text("raise ModuleNotFoundError('not installed')")
    program = (
        "import os, sys; from pathlib import Path; from serving.artifacts import obtain; "
        "from serving.spec import ModelSource; obtain(ModelSource(sys.argv[1], 'sklearn'), Path(sys.argv[2]))"
    )
    environ = {
        "PYTHONPATH": f"{module.parent}:{Path(__file__).parents[3]}",
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "AZURE_STORAGE_ACCOUNT_NAME": "models",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, uri, str(tmp_path / "cache")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"needs the package {package}, which is not installed" in done.stderr
    assert f"tidegate[{extra}], or add {package} to spec.serving.pip" in done.stderr


@pytest.fixture
def claims(tmp_path, tell):
    folder = tmp_path / "claims"
    (folder / "team-a" / "iris 1").mkdir(parents=True)
    (folder / "team-a" / "iris 1" / "model.joblib").write_bytes(b"model")
    (folder / "team-a" / "iris 1.profile.json").write_bytes(b"{}")
    (folder / "team-b").mkdir()
    (folder / "team-b" / "secret").write_text("secret")
    (folder / "team-a" / "link").symlink_to(folder / "team-b" / "secret")
    tell(CLAIMS=str(folder))
    return folder


def test_a_claim_is_a_folder_of_models(claims, tmp_path):
    source = ModelSource("pvc://team-a/iris%201", "sklearn")
    assert (obtain(source, tmp_path / "cache").path / "model.joblib").read_bytes() == b"model"
    assert read_beside(source, ".profile.json", 1000) == b"{}"


@pytest.mark.parametrize("path", ["link", "%2e%2e/team-b/secret", "%2E%2E%2Fteam-b/secret"])
def test_a_path_cannot_lead_out_of_its_claim(claims, tmp_path, path):
    with pytest.raises(ArtifactNotFound, match="leads out of the claim team-a"):
        obtain(ModelSource(f"pvc://team-a/{path}", "sklearn"), tmp_path / "cache")


def test_what_lies_beside_a_model_cannot_lead_out_of_its_claim(claims):
    (claims / "team-a" / "iris 1.metrics.json").symlink_to(claims / "team-b" / "secret")
    with pytest.raises(ArtifactNotFound, match="leads out of the claim team-a"):
        read_beside(ModelSource("pvc://team-a/iris%201", "sklearn"), ".metrics.json", 1000)


def test_a_claim_that_is_not_mounted_is_named_with_the_chart_value(claims, tmp_path, tell):
    with pytest.raises(UnsupportedModel, match=r"the claim team-c is not mounted .* the chart's models\.claims"):
        obtain(ModelSource("pvc://team-c/iris", "sklearn"), tmp_path / "cache")
    tell(CLAIMS="")
    with pytest.raises(UnsupportedModel, match="no claims are mounted here"):
        obtain(ModelSource("pvc://team-a/iris", "sklearn"), tmp_path / "cache")


def test_what_is_secret_is_not_told():
    environ = {
        "AWS_SECRET_ACCESS_KEY": "wJalrX",
        "DB_PASSWORD": "hunter22",
        "AZURE_STORAGE_KEY": "/zI2+/A=",
        "TOKEN_FILE": "/etc/token",
        "HOME": "/root",
    }
    said = redact(
        "wJalrX at https://me:pw@host/p?X-Amz-Signature=abc&b=c\n(hunter22) AccountKey=xyz;x sig=123 /etc/token "
        "/zI2+/A=",
        environ,
    )
    assert said == "*** at https://***@host/p?*** (***) AccountKey=***;x sig=*** /etc/token ***"
    assert len(redact("x" * 10_000, {})) == LONGEST
