"""MLServer's own classes, with MLServer's own package, get what they get at home."""

import json
import shutil
from pathlib import Path

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

ROWS = {"name": "x", "shape": [2, 2], "datatype": "INT32", "data": [1, 2, 3, 4]}
V2 = "/v2/models/iris/infer"


@pytest.fixture(scope="module")
def hosted(host):
    classes = ("Doubler", "Witness", "Reader", "Refuser", "NeverReady", "Broken", "Stranger")
    models = {name: {"class": f"for_mlserver:{name}"} for name in classes}
    models["told"] = {"class": "for_mlserver:Doubler", "env": {"MLSERVER_MODEL_EXTRA": '{"factor": 3}'}}
    models["wrong"] = {"class": "for_mlserver:Doubler", "env": {"MLSERVER_MODEL_MAX_BATCH_SIZE": "many"}}
    return host("mlserver", models)


def test_a_class_decodes_with_its_codecs_and_answers_in_every_protocol(hosted):
    client = hosted["Doubler"]
    [output] = client.post(V2, json={"inputs": [ROWS]}).json()["outputs"]
    assert (output["shape"], output["datatype"], output["data"]) == ([2, 2], "INT32", [2, 4, 6, 8])
    assert output["parameters"] == {"content_type": "np"}
    assert client.post("/v1/models/iris:predict", json={"instances": [[1, 2]]}).json() == {"predictions": [[2, 4]]}
    named = client.post("/api/v1/models/iris/predict", json={"x": 1.5})
    assert named.json() == {"prediction": [3.0], "model_version": "v1"}  # MLServer's codec adds an axis


def test_settings_come_from_the_environment_as_at_home(hosted):
    [output] = hosted["told"].post(V2, json={"inputs": [ROWS]}).json()["outputs"]
    assert output["data"] == [3, 6, 9, 12]
    kind, message = hosted["wrong"]
    assert kind == "UnloadableModel"
    assert "the settings of for_mlserver:Doubler cannot be made" in message


def test_settings_that_lie_beside_the_class_are_its_own_but_for_the_name_and_the_class(host, tmp_path):
    shutil.copy(Path(__file__).with_name("classes") / "for_mlserver.py", tmp_path)
    parameters = {"uri": "./weights", "extra": {"factor": 5}}
    settings = {"name": "another", "implementation": "elsewhere.Model", "parameters": parameters}
    (tmp_path / "model-settings.json").write_text(json.dumps(settings))
    models = {name: {"class": f"for_mlserver:{name}"} for name in ("Doubler", "Witness")}
    hosted = host("mlserver", models, tmp_path)
    [output] = hosted["Doubler"].post(V2, json={"inputs": [ROWS]}).json()["outputs"]
    assert output["data"] == [5, 10, 15, 20]
    told = hosted["Witness"].post(V2, json={"inputs": [ROWS]}).json()["parameters"]
    assert (told["name"], told["uri"]) == ("iris", "./weights")


def test_a_runtime_of_mlservers_own_serves_the_file_that_it_expects(host, tmp_path):
    rows, labels = load_iris(return_X_y=True)
    joblib.dump(LogisticRegression(max_iter=500).fit(rows, labels), tmp_path / "model.joblib")
    client = host("mlserver", {"iris": {"class": "mlserver_sklearn:SKLearnModel"}}, tmp_path)["iris"]
    tensor = {"name": "rows", "shape": [2, 4], "datatype": "FP64", "data": rows[[0, 100]].ravel().tolist()}
    wanted = [{"name": "predict"}, {"name": "predict_proba"}]
    answer = client.post(V2, json={"inputs": [tensor], "outputs": wanted}).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["predict"]["data"] == [0, 2]
    assert outputs["predict_proba"]["shape"] == [2, 3]


def test_a_request_reaches_the_class_whole(hosted):
    tensor = {**ROWS, "parameters": {"content_type": "np", "mine": [1]}}
    body = {"id": "7", "inputs": [tensor], "parameters": {"content_type": "np", "extra": {"deep": None}}}
    answer = hosted["Witness"].post(V2, json=body, headers={"X-User": "anna"}).json()
    told = answer["parameters"]["told"]
    assert (told["id"], told["inputs"][0]["data"]) == ("7", [1, 2, 3, 4])
    assert told["inputs"][0]["parameters"] == {"content_type": "np", "mine": [1]}
    assert told["parameters"]["headers"]["x-user"] == "anna"
    assert told["parameters"]["extra"] == {"deep": None}
    assert answer["parameters"]["name"] == "iris"
    assert answer["parameters"]["uri"].endswith("/classes")
    assert "headers" not in answer["parameters"]
    assert answer["id"] == "7"


def test_text_bytes_and_data_frames_pass_both_ways(hosted):
    client = hosted["Reader"]
    words = {
        "name": "words",
        "shape": [2],
        "datatype": "BYTES",
        "data": ["ab", "ü"],
        "parameters": {"content_type": "str"},
    }
    images = {
        "name": "images",
        "shape": [1],
        "datatype": "BYTES",
        "data": ["AP8="],
        "parameters": {"content_type": "base64"},
    }
    first, second = client.post(V2, json={"inputs": [words, images]}).json()["outputs"]
    assert (first["data"], first["parameters"]) == (["ba", "ü"], {"content_type": "str"})
    assert (second["data"], second["parameters"]) == (["/wA="], {"content_type": "base64"})
    columns = [{"name": name, "shape": [2], "datatype": "FP64", "data": [1, 2]} for name in "ab"]
    answer = client.post(V2, json={"inputs": columns, "parameters": {"content_type": "pd"}}).json()
    assert {output["name"]: output["data"] for output in answer["outputs"]} == {"a": [1, 2], "b": [1, 2], "sum": [2, 4]}
    assert answer["parameters"] == {"content_type": "pd"}


def test_parameters_of_the_wrong_type_are_the_clients_fault(hosted):
    answer = hosted["Doubler"].post(V2, json={"inputs": [ROWS], "parameters": {"content_type": 3}})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("name", "status", "code", "words"),
    [
        ("x", 400, "model_refused", "no such flower"),
        ("fault", 500, "model_error", "the model raised ZeroDivisionError: no flower"),
        ("text", 500, "model_error", "Refuser answered a str"),
    ],
)
def test_what_a_class_raises_is_answered_as_mlserver_answers_it(hosted, name, status, code, words):
    answer = hosted["Refuser"].post(V2, json={"inputs": [{**ROWS, "name": name}]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["error"]


def test_grpc_calls_reach_it_too(hosted, infer):
    answer = infer(hosted["Doubler"])
    [output] = answer.outputs
    assert (answer.id, output.datatype, list(output.shape)) == ("7", "FP64", [1, 2])
    assert list(output.contents.fp64_contents) == [2.0, 5.0]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("NeverReady", "UnloadableModel", "load() of NeverReady returned False: it must return True"),
        ("Broken", "UnloadableModel", "Broken raised OSError in load(): no weights"),
        ("Stranger", "UnsupportedModel", "for_mlserver:Stranger is no mlserver.MLModel"),
    ],
)
def test_a_class_that_is_of_no_use_is_refused_with_what_is_wrong(hosted, name, kind, words):
    found, message = hosted[name]
    assert found == kind
    assert words in message
