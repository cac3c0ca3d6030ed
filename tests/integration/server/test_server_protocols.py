"""What v2 says over real connections beside JSON inference: versions, extensions, bytes, and models of tensors."""

import numpy as np
import orjson
import pytest
from serverkit import IRIS, SETOSA, Echo

from serving.runtimes import OutputSpec, Signature, TensorSpec
from serving.spec import InputSpec

VERSIONED = "/v2/models/iris/versions/v1"
ROW = np.array([SETOSA])


class Mean:
    """The mean of each image; tells what it takes."""

    signature = Signature(
        "test",
        None,
        (),
        InputSpec("x"),
        (OutputSpec("mean", "FP32", (-1,)),),
        tensors=(TensorSpec("image", "FP32", (-1, 2, -1)),),
    )

    def predict(self, tensors, outputs):
        return {"mean": tensors.arrays["image"].mean(axis=(1, 2))}


def as_bytes(array, **request):
    """A request whose one input stands behind the JSON, with its header."""
    raw = array.tobytes()
    tensor = {"name": "x", "shape": array.shape, "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
    head = orjson.dumps({"inputs": [tensor], **request})
    return {"content": head + raw, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def test_the_served_version_has_paths_of_its_own(iris):
    assert iris.get(VERSIONED).json() == iris.get("/v2/models/iris").json()
    assert iris.get(f"{VERSIONED}/ready").json() == {"ready": True}
    assert iris.post(f"{VERSIONED}/infer", **as_bytes(ROW)).json()["outputs"][0]["data"] == [0]
    assert iris.get(f"{VERSIONED}/infer").status_code == 405


@pytest.mark.parametrize("end", ["", "/", "/ready", "/infer", "/x"])
def test_another_version_is_not_found_and_the_served_one_is_named(iris, end):
    answer = iris.post(f"/v2/models/iris/versions/v2{end}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_version")
    assert answer.json()["error"] == "there is no version 'v2' here; this is 'v1'"
    answer = iris.post(f"/v2/models/other/versions/v1{end}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")


def test_the_server_says_which_extensions_it_speaks(iris):
    assert iris.get("/v2/").json()["extensions"] == ["binary_tensor_data"]


def test_an_answer_has_bytes_only_when_they_are_asked_for(iris):
    answer = iris.post("/v2/models/iris/infer", **as_bytes(ROW))
    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    answer = iris.post("/v2/models/iris/infer", **as_bytes(ROW, parameters={"binary_data_output": True}))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["tidegate-version"] == "v1"
    length = int(answer.headers["inference-header-content-length"])
    assert orjson.loads(answer.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert np.frombuffer(answer.content[length:], "<i8").tolist() == [0]


def test_a_header_of_one_request_is_not_that_of_the_next_on_its_connection(iris):
    for _ in range(3):
        assert iris.post("/v2/models/iris/infer", **as_bytes(ROW)).status_code == 200
        named = dict(zip(IRIS, SETOSA, strict=True))
        assert iris.post("/api/v1/models/iris/predict", json=named).json()["prediction"] == 0


def test_an_error_about_a_request_with_bytes_is_json(iris):
    answer = iris.post("/v2/models/iris/infer", **as_bytes(ROW[:, :3], parameters={"binary_data_output": True}))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_shape")
    assert answer.headers["content-type"] == "application/json"


def test_a_model_of_tensors_is_described_and_answers_in_every_protocol(serve, make_client):
    client = make_client(serve(Mean())[1])
    described = client.get("/v2/models/iris").json()
    assert described["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 2, -1]}]
    image = [[1, 2], [3, 6]]
    tensor = {"name": "image", "shape": [1, 2, 2], "datatype": "INT8", "data": image[0] + image[1]}
    answer = client.post("/v2/models/iris/infer", json={"inputs": [tensor]}).json()
    assert answer["outputs"] == [{"name": "mean", "shape": [1], "datatype": "FP32", "data": [3]}]
    assert client.post("/v1/models/iris:predict", json={"instances": [image]}).json() == {"predictions": [3]}
    answer = client.post("/api/v1/models/iris/predict", json={"image": image})
    assert answer.json() == {"prediction": 3, "model_version": "v1"}


def test_an_output_that_a_model_does_not_give_is_the_clients_mistake(serve, make_client):
    client = make_client(serve(Echo())[1])
    request = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}], "outputs": [{"name": "y"}]}
    answer = client.post("/v2/models/iris/infer", json=request)
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_output")
