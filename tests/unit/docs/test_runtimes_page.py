"""docs/runtimes.md names what there is, and its examples work."""

import re
import sys
import textwrap
import typing
from pathlib import Path

import numpy as np
import pytest
import yaml

from operators.api.types import Model
from serving.runtimes import RUNTIMES, load
from serving.runtimes.lightgbm import SUFFIXES as LIGHTGBM
from serving.runtimes.onnx import SUFFIXES as ONNX
from serving.runtimes.sklearn import SUFFIXES as SKLEARN
from serving.runtimes.xgboost import SUFFIXES as XGBOOST
from serving.spec import ModelSource

PAGE = (Path(__file__).parents[3] / "docs" / "runtimes.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \| .* \|$", PAGE.partition("## xgboost")[0], re.MULTILINE))


def test_the_page_has_the_runtimes_of_the_manifest_and_replicas_have_them() -> None:
    known = typing.get_args(Model.model_fields["runtime"].annotation)
    assert set(known) == set(ROWS) - {"runtime"}  # the table's head
    assert set(known) <= set(RUNTIMES)


@pytest.mark.parametrize(
    ("runtime", "suffixes"), [("sklearn", SKLEARN), ("xgboost", XGBOOST), ("lightgbm", LIGHTGBM), ("onnx", ONNX)]
)
def test_the_page_names_the_formats(runtime: str, suffixes: tuple[str, ...]) -> None:
    assert tuple(re.findall(r"`(\.\w+)`", ROWS[runtime])) == suffixes


def test_the_manifests_of_the_page_are_models() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [Model.model_validate(yaml.safe_load(block)["model"], strict=False).runtime for block in blocks] == [
        "onnx",
        "python",
        "kserve",
    ]


def test_the_class_of_the_page_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    folder = tmp_path / "fraud"
    folder.mkdir()
    (folder / "fraud_of_the_page.py").write_text(textwrap.dedent(text))
    (folder / "weights.txt").write_text("1")
    source = ModelSource(folder.as_uri(), "python", class_name="fraud_of_the_page:Fraud")
    model = load(source, tmp_path / "cache")
    rows = np.array([[1.0, "NL"]], object)
    answer = {name: values.tolist() for name, values in model.predict(rows, ("predict", "reason")).items()}
    assert answer == {"predict": [0], "reason": ["none"]}
