"""Versions of one rollout made by different libraries, behind one Envoy."""

import time
from pathlib import Path

import httpx
import numpy as np
import xgboost
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from stackkit import DEADLINE, Stack, at_weight, canary, healthy

X, Y = load_iris(return_X_y=True)


def ask(stack: Stack, output: str) -> tuple[str, np.ndarray]:
    """All flowers at once: the version that answered, and what."""
    tensor = {"name": "rows", "shape": [150, 4], "datatype": "FP64", "data": X.ravel().tolist()}
    body = {"inputs": [tensor], "outputs": [{"name": output}]}
    url = f"http://127.0.0.1:{stack.port}/v2/models/libraries/infer"
    answer = httpx.post(url, json=body, trust_env=False, timeout=60).raise_for_status()
    (found,) = answer.json()["outputs"]
    return answer.headers["tidegate-version"], np.array(found["data"]).reshape(found["shape"])


def test_an_xgboost_and_an_onnx_version_of_one_rollout_answer_through_envoy(stack: Stack, tmp_path: Path) -> None:
    trees = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, Y)
    trees.save_model(tmp_path / "trees.ubj")
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    (tmp_path / "forest.onnx").write_bytes(to_onnx(forest, X[:1].astype(np.float32)).SerializeToString())

    stack.apply("libraries", "first", model={"uri": f"file://{tmp_path}/trees.ubj", "runtime": "xgboost"})
    stable = stack.until("libraries", healthy)["stable"]["id"]
    stack.apply(
        "libraries",
        "second",
        model={"uri": f"file://{tmp_path}/forest.onnx", "runtime": "onnx"},
        strategy=canary({"setWeight": 50}, {"pause": {}}),
    )
    candidate = stack.until("libraries", at_weight(50))["candidate"]["id"]

    expected = {stable: trees.predict_proba(X), candidate: forest.predict_proba(X)}
    seen: set[str] = set()
    deadline = time.monotonic() + DEADLINE
    while seen != {stable, candidate}:
        assert time.monotonic() < deadline, f"only {seen} have answered"
        version, probabilities = ask(stack, "predict_proba")
        assert np.allclose(probabilities, expected[version], atol=1e-5)
        seen.add(version)
