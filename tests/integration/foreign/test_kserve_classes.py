"""KServe's own classes, with KServe's own package, get what they get at home."""

import pytest

ROWS = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
V1 = "/v1/models/iris:predict"
V2 = "/v2/models/iris/infer"


@pytest.fixture(scope="module")
def hosted(host):
    classes = ("Always", "Doubler", "Witness", "Refuser", "NeverReady", "Choosy", "Broken", "Stranger", "Nobody")
    models = {name: {"class": f"for_kserve:{name}"} for name in classes}
    models["unnamed"] = {"class": None}
    models["unproven"] = {"class": "for_kserve:Doubler", "env": {"TIDEGATE_ARTIFACT_CODE": "verified"}}
    models["declared"] = {"class": "for_kserve:Doubler", "inputs": [["x", "FP32", [-1, 2]]]}
    return host("kserve", models)


def test_one_class_answers_v1_v2_and_named_fields(hosted):
    client = hosted["Doubler"]
    assert client.post(V1, json={"instances": [[1, 2], [3, 4]]}).json() == {"predictions": [[2, 4], [6, 8]]}
    assert client.post(V2, json={"id": "7", "inputs": [ROWS]}).json() == {
        "model_name": "iris",
        "model_version": "v1",
        "id": "7",
        "outputs": [{"name": "output-0", "shape": [2, 2], "datatype": "FP32", "data": [2.0, 4.0, 6.0, 8.0]}],
    }
    named = client.post("/api/v1/models/iris/predict", json={"x": 1.5})
    assert named.json() == {"prediction": 3.0, "model_version": "v1"}


def test_outputs_may_be_wanted_as_bytes(hosted):
    asked = {"inputs": [ROWS], "parameters": {"binary_data_output": True}}
    answer = hosted["Doubler"].post(V2, json=asked)
    size = int(answer.headers["inference-header-content-length"])
    assert answer.content[size:] == b"".join(
        bytes(4 - len(part)) + part for part in (b"\0@", b"\x80@", b"\xc0@", b"\0A")
    )


def test_a_v1_body_reaches_the_class_as_it_is_with_the_headers(hosted):
    body = {"instances": [{"text": "a", "deep": [None, {"x": 1}]}, 3], "parameters": {"top": 5}}
    answer = hosted["Witness"].post(V1, json=body, headers={"X-User": "anna", "authorization": "Bearer x"}).json()
    assert (answer["got"], answer["name"], answer["predictions"]) == (body, "iris", [0])
    assert (answer["headers"]["x-user"], answer["headers"]["authorization"]) == ("anna", "Bearer x")


def test_a_v2_request_reaches_the_class_whole(hosted):
    tensor = {**ROWS, "parameters": {"content_type": "np"}}
    words = {"name": "words", "shape": [2], "datatype": "BYTES", "data": ["ü", ""]}
    body = {"id": "7", "inputs": [tensor, words], "parameters": {"mine": 3}, "outputs": [{"name": "y"}]}
    answer = hosted["Witness"].post(V2, json=body, headers={"X-User": "anna"}).json()
    assert (answer["id"], answer["outputs"]) == (
        "7",
        [{"name": "y", "shape": [1], "datatype": "INT8", "data": [7], "parameters": {"own": True}}],
    )
    assert answer["parameters"] == {
        "inputs": [tensor, {**words, "parameters": {}}],
        "sums": {"x": 2, "words": 2},
        "parameters": {"mine": 3},
        "wanted": ["y"],
        "user": "anna",
    }


def test_an_output_that_the_class_does_not_give_cannot_be_had(hosted):
    answer = hosted["Witness"].post(V2, json={"inputs": [ROWS], "outputs": [{"name": "x"}]})
    assert (answer.status_code, answer.json()["error"]) == (400, 'no output "x"; the model gave y, z')


def asked(client, kind):
    """Ask over v2 with one word."""
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [kind]}
    return client.post(V2, json={"inputs": [tensor]})


def test_a_class_may_answer_in_the_form_of_the_other_protocol(hosted):
    client = hosted["Always"]
    seven = {"name": "y", "shape": [1], "datatype": "INT8", "data": [7]}
    assert asked(client, "dict").json()["outputs"] == [
        {"name": "predictions", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    ]
    assert asked(client, "rest").json()["outputs"] == [seven]
    answer = client.post(V1, json={"instances": ["response"]}).json()
    assert (answer["id"], answer["model_name"]) == ("9", "iris")
    assert [(one["name"], one["datatype"], one["data"]) for one in answer["outputs"]] == [("y", "FP32", [1.0, 1.0])]
    refused = asked(client, "other")
    assert (refused.status_code, refused.json()["code"]) == (500, "model_error")
    assert "Always answered an object of other to a request that was not v1" in refused.json()["error"]


def test_the_metadata_says_what_the_manifest_declares_and_it_is_checked(hosted):
    client = hosted["declared"]
    metadata = client.get("/v2/models/iris").json()
    assert (metadata["platform"], metadata["inputs"]) == (
        "kserve",
        [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    )
    assert client.post(V2, json={"inputs": [ROWS]}).status_code == 200
    refused = client.post(V2, json={"inputs": [{**ROWS, "shape": [1, 4]}]})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_shape")


@pytest.mark.parametrize(
    ("kind", "status", "code", "words"),
    [
        ("input", 400, "model_refused", "no such flower"),
        ("http", 429, "model_refused", "too many flowers"),
        ("ready", 503, "model_error", "Model with name iris is not ready."),
        ("fault", 500, "model_error", "the model raised ZeroDivisionError: no flower"),
        ("exit", 500, "model_error", "the model raised RuntimeError: SystemExit: 3"),
        ("set", 500, "model_error", "the model's answer is no JSON"),
        ("list", 500, "model_error", "Refuser answered a list"),
    ],
)
def test_what_a_class_raises_is_answered_as_kserve_answers_it(hosted, kind, status, code, words):
    client = hosted["Refuser"]
    answer = client.post(V1, json={"instances": [kind]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["error"]
    assert client.get("/v2/health/ready").status_code == 200


def test_a_class_that_does_not_understand_a_protocol_answers_an_error(hosted):
    answer = hosted["Refuser"].post(V2, json={"inputs": [ROWS]})
    assert (answer.status_code, answer.json()["code"]) == (500, "model_error")


def test_grpc_calls_reach_it_too(hosted, infer):
    answer = infer(hosted["Doubler"])
    [output] = answer.outputs
    assert (answer.id, output.datatype, list(output.shape)) == ("7", "FP64", [1, 2])
    assert list(output.contents.fp64_contents) == [2.0, 5.0]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        (
            "NeverReady",
            "UnloadableModel",
            "for_kserve:NeverReady is not ready after its load(): it must set self.ready",
        ),
        ("Choosy", "UnloadableModel", "Choosy raised TypeError while it was made: "),
        ("Broken", "UnloadableModel", "for_kserve:Broken raised OSError in load(): no weights"),
        ("Stranger", "UnsupportedModel", "for_kserve:Stranger is no kserve.Model"),
        (
            "unnamed",
            "UnsupportedModel",
            "the kserve runtime needs spec.model.class, such as my_package.my_module:MyModel",
        ),
        ("unproven", "CodeRefused", "classes with the class for_kserve:Doubler, which runs code when it is loaded"),
        ("Nobody", "UnloadableModel", "the module for_kserve has no class Nobody"),
    ],
)
def test_a_class_that_is_of_no_use_is_refused_with_what_is_wrong(hosted, name, kind, words):
    found, message = hosted[name]
    assert found == kind
    assert words in message
