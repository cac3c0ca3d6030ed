"""What replicas make of `accelerate` reaches the rollout's status, and either way they answer."""

from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from stackkit import Stack, canary, healthy

X, Y = load_iris(return_X_y=True)


def accelerated(status: Any) -> dict[str, Any] | None:
    """The condition, once it is there."""
    return next((one for one in status.get("conditions", []) if one["type"] == "Accelerated"), None)


def test_a_model_is_converted_or_the_status_says_why_not(stack: Stack, tmp_path: Path) -> None:
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    logged = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=500)).fit(X, Y)
    for name, model in (("scaled", scaled), ("logged", logged)):
        joblib.dump(model, tmp_path / f"{name}.joblib")

    def block(name: str) -> dict[str, str]:
        return {"uri": f"file://{tmp_path}/{name}.joblib", "runtime": "sklearn", "accelerate": "onnx"}

    stack.apply("quick", "first", model=block("scaled"))
    status = stack.until("quick", lambda status: healthy(status) and accelerated(status) is not None)
    found = accelerated(status)
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "Converted")
    assert found["message"].startswith(status["stable"]["id"])
    tensor = {"name": "rows", "shape": [150, 4], "datatype": "FP64", "data": X.ravel().tolist()}
    body = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    url = f"http://127.0.0.1:{stack.port}/v2/models/quick/infer"
    answer = httpx.post(url, json=body, trust_env=False, timeout=60).raise_for_status().json()
    (output,) = answer["outputs"]
    assert output["datatype"] == "FP64"
    assert np.allclose(np.array(output["data"]).reshape(output["shape"]), scaled.predict_proba(X), atol=1e-5)

    stack.apply("quick", "second", model=block("logged"), strategy=canary({"setWeight": 50}, {"pause": {}}))
    status = stack.until("quick", lambda status: (accelerated(status) or {}).get("status") == "False")
    found = accelerated(status)
    assert found is not None
    assert found["reason"] == "NotConvertible"
    assert found["message"].startswith(status["candidate"]["id"])
    assert "FunctionTransformer" in found["message"]
