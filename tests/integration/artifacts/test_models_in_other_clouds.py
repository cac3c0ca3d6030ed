"""Models in Google's and Azure's stores: gcsfs and adlfs as they are, before servers that say what those would."""

import base64
import os
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import orjson
import pytest
from webkit import says, serving

from serving.artifacts import obtain, read_beside
from serving.errors import ArtifactNotFound, ArtifactRefused, ArtifactTooLarge
from serving.spec import ModelSource

OBJECTS = {
    "iris/1.onnx": b"first",
    "iris/1.onnx.profile.json": b"{}",
    "folder/MLmodel": b"flavors",
    "folder/data/weights": bytes(100_000),
    "folder-2/MLmodel": b"another model",
}
SECRET = base64.b64encode(b"the key of the account").decode()


@pytest.fixture
def google():
    """What gcsfs asks of https://cloud.google.com/storage/docs/json_api: metadata, listings and media."""

    def answer(request):
        parts = urlsplit(request.path)
        asked = parse_qs(parts.query)
        name = unquote(parts.path.partition("/o/")[2])
        if parts.path.endswith("/o"):
            prefix = asked.get("prefix", [""])[0]
            found = [name for name in OBJECTS if name.startswith(prefix)]
            items = [{"name": name, "bucket": "models", "size": str(len(OBJECTS[name]))} for name in found]
            says(200, orjson.dumps({"items": items}))(request)
        elif name not in OBJECTS:
            says(404, b"{}")(request)
        elif asked.get("alt") == ["media"]:
            says(200, OBJECTS[name])(request)
        else:
            says(200, orjson.dumps({"name": name, "bucket": "models", "size": str(len(OBJECTS[name]))}))(request)

    with serving(answer) as server:
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.port}"}


@pytest.fixture
def azure():
    """What adlfs asks of https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api."""

    def answer(request):
        assert request.headers["authorization"].startswith("SharedKey models:")
        parts = urlsplit(request.path)
        asked = parse_qs(parts.query)
        name = unquote(parts.path).removeprefix("/models/models").lstrip("/")
        if asked.get("comp") == ["list"]:
            prefix = asked.get("prefix", [""])[0]
            blobs = "".join(
                f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{len(OBJECTS[name])}</Content-Length>"
                "<BlobType>BlockBlob</BlobType></Properties></Blob>"
                for name in OBJECTS
                if name.startswith(prefix)
            )
            page = (
                '<?xml version="1.0"?><EnumerationResults ContainerName="models">'
                f"<Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
            )
            says(200, page.encode(), content_type="application/xml")(request)
        elif not name and asked.get("restype") == ["container"]:
            says(200, b"", etag='"c"', last_modified="Thu, 05 Nov 2026 10:00:00 GMT")(request)
        elif name not in OBJECTS:
            says(404, b"", x_ms_error_code="BlobNotFound")(request)
        else:
            body = OBJECTS[name]
            told = {"etag": '"1"', "last_modified": "Thu, 05 Nov 2026 10:00:00 GMT", "x_ms_blob_type": "BlockBlob"}
            if "x-ms-range" in request.headers:
                first, last = request.headers["x-ms-range"].removeprefix("bytes=").split("-")
                last = min(int(last), len(body) - 1)
                told["content_range"] = f"bytes {first}-{last}/{len(body)}"
                says(206, body[int(first) : last + 1], **told)(request)
            else:
                says(200, body, **told)(request)

    with serving(answer) as server:
        endpoint = f"http://127.0.0.1:{server.port}/models"
        yield {
            "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=models;AccountKey={SECRET};BlobEndpoint={endpoint}",
            "AZURE_STORAGE_ACCOUNT_NAME": "models",
        }


@pytest.fixture(params=["gs", "az"])
def scheme(request):
    return request.param


@pytest.fixture
def environ(scheme, request):
    told = request.getfixturevalue({"gs": "google", "az": "azure"}[scheme])
    return {**os.environ, **told, "TIDEGATE_ARTIFACT_HOSTS": "127.0.0.0/8", "NO_GCE_CHECK": "true"}


@pytest.fixture
def take(environ, tmp_path):
    def take(uri, **told):
        return obtain(ModelSource(uri, "onnx"), tmp_path / "cache", {**environ, **told}).path

    return take


def test_an_object_is_a_file(scheme, take):
    path = take(f"{scheme}://models/iris/1.onnx")
    assert (path.name, path.read_bytes()) == ("1.onnx", b"first")


def test_a_name_with_objects_below_it_is_a_folder(scheme, take):
    path = take(f"{scheme}://models/folder")
    files = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert files == {"MLmodel": b"flavors", "data/weights": bytes(100_000)}


def test_nothing_is_not_a_model(scheme, take):
    with pytest.raises(ArtifactNotFound, match=f"{scheme}://models/nothing"):
        take(f"{scheme}://models/nothing")


def test_a_store_that_says_too_little_of_an_object_is_stopped_by_the_kernel(tmp_path):
    one = {"name": "a", "bucket": "models", "size": "1"}

    def answer(request):
        says(200, bytes(3 << 20) if "alt=media" in request.path else orjson.dumps(one | {"items": [one]}))(request)

    with serving(answer) as server:
        endpoint = f"http://127.0.0.1:{server.port}"
        told = {"STORAGE_EMULATOR_HOST": endpoint, "TIDEGATE_ARTIFACT_HOSTS": "127.0.0.1", "NO_GCE_CHECK": "true"}
        environ = {**os.environ, **told, "TIDEGATE_ARTIFACT_MAX_SIZE": "1Mi"}
        with pytest.raises(ArtifactTooLarge, match="it is larger than 1048576 bytes"):
            obtain(ModelSource("gs://models/a", "onnx"), tmp_path / "cache", environ)


def test_a_store_at_an_internal_address_is_refused_unless_the_policy_names_it(scheme, take):
    with pytest.raises(
        ArtifactRefused, match=r"127\.0\.0\.1 is not a public address: it would have to be named"
    ) as refused:
        take(f"{scheme}://models/iris/1.onnx", TIDEGATE_ARTIFACT_HOSTS="*")
    assert SECRET not in str(refused.value)


def test_the_file_beside_a_model_is_read(scheme, environ):
    source = ModelSource(f"{scheme}://models/iris/1.onnx", "onnx")
    assert read_beside(source, ".profile.json", 1 << 20, environ) == b"{}"
    assert read_beside(source, ".sig", 1 << 20, environ) is None
