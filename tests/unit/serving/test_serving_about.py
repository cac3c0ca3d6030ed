"""What a replica says about its model, and what it takes from the file beside it."""

import httpx
import numpy as np
import pytest

from serving.about import SUFFIX, info, read_metrics
from serving.runtimes import OutputSpec, Signature, TensorSpec
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec, ModelSource

SIGNATURE = Signature(
    "test-1.0",
    1,
    (InputSpec("age", "INT64"),),
    InputSpec("input-0"),
    (OutputSpec("approved", "BYTES", (-1,), ("no", "yes")), OutputSpec("score", "FP64", (-1,))),
)


class Judge:
    signature = SIGNATURE

    def predict(self, rows, outputs):
        return {name: np.ones(len(rows)) for name in outputs}


@pytest.fixture
def ask():
    server = ModelServer(ServerConfig("credit", "v7", metrics={"accuracy": 0.9}), Judge())
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:

        def ask(path):
            return client.get(f"/api/v1/models/credit/{path}")

        yield server, ask
    server.stop()


def test_a_replica_says_what_its_model_is(ask):
    _, ask = ask
    assert ask("info").json() == {
        "name": "credit",
        "version": "v7",
        "runtime": "test-1.0",
        "features": [{"name": "age", "datatype": "INT64"}],
        "outputs": [
            {"name": "approved", "datatype": "BYTES", "labels": ["no", "yes"]},
            {"name": "score", "datatype": "FP64"},
        ],
        "metrics": {"accuracy": 0.9},
    }


def test_pages_are_written_for_the_path_at_which_clients_ask(ask):
    _, ask = ask
    assert list(ask("openapi.json").json()["paths"]) == ["/api/v1/models/credit/predict"]
    assert list(ask("openapi.json/for/api/v1/predict").json()["paths"]) == ["/api/v1/predict"]
    assert '<form action="/api/v1/predict">' in ask("docs/for/api/v1/predict").text
    assert "<script>alert" not in ask("docs/for/%22%3E%3Cscript%3Ealert(1)").text
    for nothing in ("openapi.json/for/", "info/for/api/v1/predict", "for/api/v1/predict"):
        assert ask(nothing).status_code == 404


def test_a_replica_is_healthy_until_it_drains(ask):
    server, ask = ask
    healthy = {"status": "healthy", "model_loaded": True, "name": "credit", "version": "v7"}
    assert (ask("health").status_code, ask("health").json()) == (200, healthy)
    assert server.drain(10)
    assert (ask("health").status_code, ask("health").json()["code"]) == (503, "draining")


def test_a_model_of_tensors_has_them_for_features():
    tensors = (TensorSpec("image", "FP32", (-1, 8, 8)),)
    about = info("net", "v1", Signature("test", None, (), InputSpec("input-0"), (), tensors=tensors), {})
    assert about["features"] == [{"name": "image", "datatype": "FP32"}]


@pytest.mark.parametrize(
    ("content", "metrics"),
    [(None, {}), ('{"accuracy": 0.9, "tested_on": "2024"}', {"accuracy": 0.9, "tested_on": "2024"})],
)
def test_metrics_lie_beside_the_model(tmp_path, content, metrics):
    path = tmp_path / "model.joblib"
    if content is not None:
        path.with_name(path.name + SUFFIX).write_text(content)
    assert read_metrics(ModelSource(path.as_uri(), "sklearn")) == metrics


@pytest.mark.parametrize("content", ["[1]", "{", '{"accuracy": NaN}', " " * ((1 << 20) + 1)])
def test_metrics_that_cannot_be_used_are_left_out_and_logged(tmp_path, caplog, content):
    path = tmp_path / "model.joblib"
    path.with_name(path.name + SUFFIX).write_text(content)
    assert read_metrics(ModelSource(path.as_uri(), "sklearn")) == {}
    assert "model.joblib.metrics.json are left out" in caplog.text
