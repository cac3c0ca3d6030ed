"""Rollouts and scenarios for the simulation, written as people write them."""

from pathlib import Path
from typing import Any

import yaml

from operators.api import API_VERSION, KIND, ModelRollout, parse_manifest
from operators.simulate import Moment, Result, Scenario, VersionTotals, parse_scenario, simulate
from operators.simulate.files import Files
from operators.status import Arm

ROOT = Path(__file__).parents[3]
ERRORS = {"name": "errors", "metric": "error-rate", "max": 0.05}
LATENCY = {"name": "latency", "metric": "latency-p95", "max": "100ms"}


def rollout(model: str = "2", steps: list[dict[str, Any]] | None = None, **spec: Any) -> ModelRollout:
    """A rollout of a model, with a canary if there are steps."""
    content = {"model": {"uri": f"file:///models/{model}", "runtime": "sklearn"}, **spec}
    if steps is not None:
        content["strategy"] = {"canary": {"steps": steps}}
    return parse_manifest({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "iris"}, "spec": content})


def demo() -> ModelRollout:
    """The rollout of `make demo`."""
    content = yaml.safe_load((ROOT / "deployments" / "examples" / "demo" / "iris.yaml").read_text())
    content["spec"]["model"]["uri"] = "file:///models/iris-2"
    return parse_manifest(content)


def scenario(text: str = "{}", folder: Path = Path(), **manifests: ModelRollout) -> Scenario:
    """A scenario as YAML; `manifests` are those that it may apply, by the names of their files."""
    return parse_scenario(yaml.safe_load(text), Files(folder, lambda path: manifests[path.stem]))


def play(manifest: ModelRollout, text: str = "{}", seed: int = 0, **manifests: ModelRollout) -> Result:
    """Simulate a rollout beside model 1."""
    before = manifest.model_copy(
        update={"spec": rollout("1").spec.model_copy(update={"serving": manifest.spec.serving})}
    )
    return simulate(manifest, scenario(text, **manifests), before, seed)


def alone(manifest: ModelRollout, text: str = "{}", seed: int = 0) -> Result:
    """Simulate an experiment with variants: its control is stable."""
    return simulate(manifest, scenario(text), seed=seed)


def variants(**numbers: int) -> list[dict[str, Any]]:
    """Variants by name, with the number of each one's model."""
    return [
        {"name": name, "model": {"uri": f"file:///models/{number}", "runtime": "sklearn"}}
        for name, number in numbers.items()
    ]


def totals(result: Result, version: str) -> VersionTotals:
    """What a version answered."""
    return next(one for one in result.totals if one.version == version)


def arm(result: Result, name: str) -> Arm:
    """What the experiment found about one of its versions."""
    return next(one for one in result.arms if one.name == name)


def told(result: Result, words: str) -> Moment:
    """The first moment with a note that has these words in it. Raises `AssertionError` when there is none."""
    for moment in result.moments:
        if any(words in note for note in moment.notes):
            return moment
    raise AssertionError(f"{words!r} is not in {[moment.notes for moment in result.moments]}")


def notes(result: Result) -> list[str]:
    """Everything that was told."""
    return [note for moment in result.moments for note in moment.notes]
