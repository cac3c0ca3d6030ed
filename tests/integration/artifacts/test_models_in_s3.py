"""Models in an object store that speaks S3: moto's server, asked through s3fs."""

import os
import socket

import boto3
import pytest
from moto.server import ThreadedMotoServer

from serving.artifacts import digest, obtain, read_beside
from serving.errors import ArtifactMismatch, ArtifactNotFound, ArtifactRefused, ArtifactTooLarge, ArtifactUnavailable
from serving.spec import ModelSource

SECRET = "wJalrXUtnFEMI"


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def environ(endpoint, monkeypatch):
    told = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "TIDEGATE_ARTIFACT_HOSTS": "127.0.0.0/8",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **told}


@pytest.fixture
def bucket(environ):
    bucket = boto3.resource("s3").Bucket("models")
    bucket.create()
    bucket.put_object(Key="iris/1.joblib", Body=b"first")
    bucket.put_object(Key="iris/1.joblib.profile.json", Body=b"{}")
    bucket.put_object(Key="mlflow/MLmodel", Body=b"flavors: {}")
    bucket.put_object(Key="mlflow/data/", Body=b"")
    bucket.put_object(Key="mlflow/data/weights.bin", Body=bytes(1 << 20))
    bucket.put_object(Key="mlflow-2/MLmodel", Body=b"another model")
    yield bucket
    bucket.objects.delete()
    bucket.delete()


@pytest.fixture
def take(bucket, environ, tmp_path):
    def take(uri, sha256=None, **told):
        return obtain(ModelSource(uri, "sklearn", sha256), tmp_path / "cache", {**environ, **told}).path

    return take


def test_an_object_is_a_file(take):
    path = take("s3://models/iris/1.joblib")
    assert (path.name, path.read_bytes()) == ("1.joblib", b"first")


def test_a_key_with_objects_below_it_is_a_folder(take):
    path = take("s3://models/mlflow/")
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert files == {"MLmodel", "data/weights.bin"}
    assert path.name == "mlflow"
    again = take("s3://models/mlflow", digest(path))
    assert again == path


def test_what_was_promised_is_found_in_the_cache_when_the_bucket_is_gone(take):
    path = take("s3://models/iris/1.joblib")
    assert take("s3://gone/iris/1.joblib", digest(path)) == path


def test_other_bytes_than_promised_are_refused(take):
    with pytest.raises(ArtifactMismatch, match=r"s3://models/iris/1\.joblib has SHA-256"):
        take("s3://models/iris/1.joblib", "0" * 64)


@pytest.mark.parametrize("uri", ["s3://models/nothing", "s3://models/iris/1", "s3://nobucket/iris"])
def test_nothing_is_not_a_model(take, uri):
    with pytest.raises(ArtifactNotFound, match=uri):
        take(uri)


def test_a_folder_that_is_too_large_is_refused_before_it_is_downloaded(take):
    with pytest.raises(ArtifactTooLarge, match="it has 1048587 bytes, 1048576 are allowed"):
        take("s3://models/mlflow", TIDEGATE_ARTIFACT_MAX_SIZE="1Mi")


def test_a_key_cannot_lead_out_of_the_folder(take, bucket):
    bucket.put_object(Key="evil/../../../escaped", Body=b"!")
    with pytest.raises(ArtifactUnavailable, match="does not make a file in a folder"):
        take("s3://models/evil")


def test_a_store_at_an_internal_address_is_refused_unless_the_policy_names_it(take):
    with pytest.raises(ArtifactRefused, match=r"127\.0\.0\.1 is not a public address: it would have to be named"):
        take("s3://models/iris/1.joblib", TIDEGATE_ARTIFACT_HOSTS="*")


def test_no_credential_is_repeated(take):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://me:{SECRET}@127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(ArtifactUnavailable) as failed:
            take("s3://models/iris/1.joblib", AWS_ENDPOINT_URL=endpoint, AWS_MAX_ATTEMPTS="1")
    assert SECRET not in str(failed.value)


def test_the_file_beside_a_model_is_read(bucket, environ):
    source = ModelSource("s3://models/iris/1.joblib", "sklearn")
    assert read_beside(source, ".profile.json", 1 << 20, environ) == b"{}"
    assert read_beside(source, ".sig", 1 << 20, environ) is None
