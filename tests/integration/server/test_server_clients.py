"""Clients that others wrote against a real server: Triton's, KServe's, and MLServer's codecs.

Their packages clash with ours, so each runs as a program of its own in the environment of `benchmarks.peers`.
"""

import json
import subprocess
from pathlib import Path

import pytest
from serverkit import Echo

from benchmarks.peers.contenders import KSERVE, MLSERVER, Contender
from benchmarks.peers.environments import ensure
from serving.datatypes import DTYPES

CLIENTS = Path(__file__).with_name("clients")
PEERS = {"triton": MLSERVER, "mlserver": MLSERVER, "kserve": KSERVE}
"""Whose environment has a client: MLServer brings `tritonclient` along."""
TIMEOUT_SECONDS = 180


@pytest.fixture
def ask(serve, iris_model):
    """Has a client ask a server of one of two models; returns what it understood."""

    def run(client: str, model: str) -> dict[str, object]:
        _, url = serve(iris_model if model == "iris" else Echo(), model=model)
        peer: Contender = PEERS[client]
        command = [ensure(peer.packages), CLIENTS / f"{client}_requests.py", url.removeprefix("http://"), model]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run


def test_tritons_client_reads_metadata_and_readiness_and_gets_predictions_both_ways(ask):
    found = ask("triton", "iris")
    assert (found["live"], found["ready"]) == (True, True)
    assert found["model_ready"] == [True, True, False, False]
    assert found["server"]["extensions"] == ["binary_tensor_data"]
    assert found["model"]["versions"] == ["v1"]
    wanted = {
        "id": "7",
        "names": ["predict_proba", "predict"],
        "predict": {"dtype": "int64", "shape": [1], "values": [0]},
        "label": 0,
    }
    assert found["json"] == {**wanted, "in_json": [True, True]}
    assert found["binary"] == found["versioned"] == {**wanted, "in_json": [False, False]}
    assert found["no_outputs"] == wanted["predict"]


def test_tritons_client_gets_the_reason_of_each_refusal(ask):
    found = ask("triton", "iris")
    assert found["other_version"] == ["404", "there is no version 'v2' here; this is 'v1'"]
    assert found["bad_width"] == ["400", "input x has shape [1, 2], the model takes [rows, 4]"]
    status, reason = found["not_finite"]
    assert (status, reason.split("; ")[0]) == ("400", "x[0], column 0 must be a finite number, not nan")
    assert found["classification"] == ["400", 'output "predict_proba": classification is an extension not spoken here']
    assert found["compressed"] == ["415", "a request body must not be compressed"]


def test_tritons_client_gets_every_datatype_back_as_it_was_sent(ask):
    found = ask("triton", "echo")
    for way in ("numbers", "in_json"):
        assert [sent for sent, _, _ in found[way]] == [back for _, back, _ in found[way]]
        assert {datatype for _, _, datatype in found[way]} | {"BYTES"} == DTYPES.keys()
    assert [sent for sent, _ in found["bytes"]] == [back for _, back in found["bytes"]]
    assert found["text"]["values"] == ["ü", "x"]
    assert found["brain"] == {"dtype": "float32", "shape": [1, 3], "values": [1.5, -2.0, 3.140625]}


def test_tritons_client_sends_several_tensors_and_parameters_of_its_own(ask):
    found = ask("triton", "echo")
    assert found["several"]["a"] == {"dtype": "int16", "shape": [1, 2, 3], "values": [0, 1, 2, 3, 4, 5]}
    assert found["several"]["b"]["shape"] == [2, 2]
    assert found["parameters"] == {"id": None, "got": {"binary_data_output": True, "mine": 3}, "asked": []}


def test_kserves_client_gets_predictions_over_v1_and_both_ways_over_v2(ask):
    found = ask("kserve", "iris")
    assert (found["ready"], found["model_ready"], found["v1_ready"]) == ([True, True], [True, False], True)
    assert found["v1"] == {"predictions": [0]}
    wanted = {"id": "7", "model": "iris", "outputs": {"predict": ["INT64", [1], [0]]}}
    assert found["json"] == found["binary"] == wanted
    assert found["content_type"] == "application/octet-stream"
    status, message = found["bad_width"]
    assert (status, "the model takes [rows, 4]" in message) == (400, True)


def test_kserves_client_sends_and_gets_half_precision_as_bytes(ask):
    assert ask("kserve", "echo")["outputs"] == {"x": ["FP16", [1, 2], [[0.5, -1.0]]]}


def test_mlservers_codecs_write_requests_and_read_answers(ask):
    assert ask("mlserver", "iris") == {
        "numpy": [0, 2],
        "pandas": {"predict": [0, 2]},
        "labels": [0, 2],
        "predict": [0, 2],
    }


def test_mlservers_content_types_and_parameters_reach_the_model_and_come_back(ask):
    found = ask("mlserver", "echo")
    assert found["id"] == "7"
    assert found["parameters"]["got"] == {"content_type": "mine", "extra": [1, {"deep": None}]}
    assert (found["text"], found["images"]) == (["ü", "x"], ["\xff\x00", ""])
    assert found["content_types"] == ["str", "base64", "np"]
    assert found["numbers"] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
