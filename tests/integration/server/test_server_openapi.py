"""The page and the OpenAPI document of a model. schemathesis holds the document against what the server does."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import orjson
import pytest

from serving.runtimes import OutputSpec, Signature, TensorSpec
from serving.spec import InputSpec

DOCUMENT = "/api/v1/models/loans/openapi.json"
PAGE = "/api/v1/models/loans/docs"
PREDICT = "/api/v1/models/loans/predict"
NUMBERS = (
    InputSpec("income", min=0, nullable=True, description='In <b>euros</b> & "cents"', example=1200.5),
    InputSpec("age", max=120),
    InputSpec("ratio", "FP32", default=0.5),
    InputSpec("term", values=(12, 24)),
)
MIXED = (
    InputSpec("income", min=0),
    InputSpec("history", "BYTES", values=("good", "it's bad"), example="good"),
    InputSpec("</script>", "BYTES", nullable=True),
    InputSpec("owner", "BOOL"),
)
WHOLE = (InputSpec("age", "INT64", min=18, max=120), InputSpec("count", "UINT8"))
CLASSIFIER = (OutputSpec("predict", "BYTES", (-1,)), OutputSpec("predict_proba", "FP64", (-1, 2)))


class Loans:
    """Says no to everybody, and is a little unsure."""

    def __init__(self, *features, outputs=CLASSIFIER, classes=("no", "yes"), **kwargs):
        width = len(features) or kwargs.pop("width", None)
        self.signature = Signature("test", width, features, InputSpec("x"), outputs, classes, **kwargs)

    def predict(self, rows, outputs):
        answers = {"predict": np.array(["no"] * len(rows)), "predict_proba": np.full((len(rows), 2), [0.9, 0.1])}
        return {name: answers[name] for name in outputs}


class Declared(Loans):
    """Has the outputs of a manifest."""

    def __init__(self):
        outputs = (OutputSpec("approved", "BOOL", (-1,)), OutputSpec("grade", "BYTES", (-1,), ("a", "b")))
        super().__init__(*NUMBERS, outputs=outputs, classes=(), declared=True)

    def predict(self, rows, outputs):
        return {"approved": rows[:, 1] > 0, "grade": np.array(["b"] * len(rows))}


class Images:
    """A model of tensors, with an answer of several axes."""

    signature = Signature(
        "test",
        None,
        (),
        InputSpec("x"),
        (OutputSpec("mean", "FP32", (-1,)), OutputSpec("same", "FP32", (-1, 2, -1))),
        tensors=(
            TensorSpec("image", "FP32", (-1, 2, 3), InputSpec("image", min=0, max=1, description="Pixels.")),
            TensorSpec("name", "BYTES", (-1,)),
        ),
    )

    def predict(self, tensors, outputs):
        image = tensors.arrays["image"]
        return {"mean": image.mean(axis=(1, 2)), "same": image}


def run_schemathesis(url, folder, *options):
    """Its exit status and its output."""
    # Too many rows are refused with 413, which it does not take for a refusal by itself.
    Path(folder, "schemathesis.toml").write_text("[checks.negative_data_rejection]\nexpected-statuses = [400, 413]\n")
    command = (Path(sys.executable).with_name("schemathesis"), "run", url + DOCUMENT, "--mode", "all", *options)
    limits = ("--max-examples", "60", "--seed", "7", "--generation-database", "none", "--no-color")
    done = subprocess.run([*command, *limits], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "model",
    [Loans(*NUMBERS), Loans(*MIXED), Declared(), Images(), Loans(width=3), Loans(InputSpec("instances"))],
    ids=["numbers", "text", "declared outputs", "tensors", "no names", "a column called instances"],
)
def test_the_server_does_what_the_document_says_and_nothing_else(serve, tmp_path, model):
    _, url = serve(model, model="loans", max_rows=50)
    status, said = run_schemathesis(url, tmp_path)
    assert status == 0, said
    assert re.search(r"Tested: +1", said), said


def test_integers_are_described_but_for_their_spelling_which_json_schema_does_not_know(serve, tmp_path):
    # 1.0 is an integer there; here it is read as one with `validation: coerce` only.
    _, url = serve(Loans(*WHOLE), model="loans", max_rows=50)
    status, said = run_schemathesis(url, tmp_path, "--exclude-checks", "positive_data_acceptance")
    assert status == 0, said


class Parts(HTMLParser):
    """The parts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_the_page_shows_every_field_and_has_a_form_that_the_model_answers(serve, make_client):
    _, url = serve(Loans(*NUMBERS, *MIXED[1:]), model="loans")
    client = make_client(url)
    answer = client.get(PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    parts = Parts(answer.text)
    shown = "".join(parts.text)
    assert 'In <b>euros</b> & "cents"' in shown
    assert "at most 120" in shown
    assert "may be left out: then 0.5" in shown
    fields = [*parts.named("input"), *parts.named("select")]
    assert sorted(field["data-field"] for field in fields) == sorted(one.name for one in (*NUMBERS, *MIXED[1:]))
    [form] = parts.named("form")
    # What stands in the form at first, sent as the page's script sends it.
    row = {one["data-field"]: one["value"] for one in parts.named("input")}
    texts = {one["data-field"] for one in fields if "data-text" in one}
    sent = {name: value if name in texts else orjson.loads(value) for name, value in row.items()}
    sent |= {"term": 12, "history": "good"}
    assert client.post(form["action"], json=sent).json()["prediction"] == "no"


def test_the_page_needs_nothing_from_elsewhere_and_may_run_no_other_script(serve, make_client):
    _, url = serve(Loans(*MIXED), model="loans")
    answer = make_client(url).get(PAGE)
    parts = Parts(answer.text)
    assert not [attributes for _, attributes in parts.tags if "src" in attributes or "style" in attributes]
    assert [attributes.get("href") for attributes in parts.named("a")] == [DOCUMENT]
    assert answer.text.count("</script>") == 1
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_command_on_the_page_is_one_that_works(serve, make_client):
    _, url = serve(Loans(*MIXED), model="loans")
    shown = "".join(Parts(make_client(url).get(PAGE).text).text)
    [command] = re.findall(r"curl -d .*", shown)
    done = subprocess.run(
        ["sh", "-c", command.replace("http://HOST", url)], capture_output=True, text=True, timeout=60, check=True
    )
    assert orjson.loads(done.stdout)["prediction"] == "no"


@pytest.mark.parametrize("model", [Images(), Loans(width=2)], ids=["tensors", "no names"])
def test_the_page_of_every_kind_of_model_has_a_row_that_fits(serve, make_client, model):
    _, url = serve(model, model="loans")
    client = make_client(url)
    parts = Parts(client.get(PAGE).text)
    [command] = re.findall(r"curl -d '(.*)' http://HOST(.*)", "".join(parts.text))
    assert client.post(command[1], content=command[0]).status_code == 200


def test_the_document_says_what_fields_must_be(serve, make_client):
    _, url = serve(Loans(*NUMBERS), model="loans")
    document = make_client(url).get(DOCUMENT).json()
    row = document["components"]["schemas"]["Row"]
    assert row["required"] == ["age", "term"]
    assert row["properties"]["income"] == {
        "type": ["number", "null"],
        "format": "double",
        "minimum": 0,
        "description": 'In <b>euros</b> & "cents"',
        "examples": [1200.5],
    }
    assert row["properties"]["term"]["enum"] == [12, 24]
    assert list(document["paths"]) == [PREDICT]


def test_problems_have_their_row_and_field_in_the_answer(serve, make_client):
    _, url = serve(Loans(*NUMBERS), model="loans")
    rows = [{"age": 121, "term": 12}, {"age": 1, "term": 13}]
    answer = make_client(url).post(PREDICT, json={"instances": rows})
    body = answer.json()
    assert (answer.status_code, body["code"], body["request_id"]) == (
        400,
        "invalid_input",
        answer.headers["x-request-id"],
    )
    assert body["details"] == [
        {"row": 0, "field": "age", "problem": "must be at most 120, not 121"},
        {"row": 1, "field": "term", "problem": "must be one of 12, 24, not 13"},
    ]
    assert "details" not in make_client(url).post(PREDICT, content=b"{").json()
