"""Manifests and models that are wrong: refused or reported with the reason, and what is live goes on."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Any

import joblib
import pytest
import skops.io
import yaml
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from stackkit import canary

from benchmarks.client import burst, cycle_rows, steady
from operators.api import RolloutKey
from operators.local.database import Database, Row

ROWS, LABELS = load_iris(return_X_y=True)
NAME = "bad-manifests"


def spec(model: dict[str, object] | None = None, **fields: object) -> dict[str, Any]:
    """Changes of a good spec."""
    return {"model": model or {}} | fields


STEPS = "spec.strategy.canary.steps"
REFUSED = {
    "an unknown field": (spec(replica=3), "spec.replica", "is not a field of this release"),
    "an unknown field far inside": (
        spec(serving={"batching": {"maxsize": 3}}),
        "spec.serving.batching.maxsize",
        "did you mean maxSize",
    ),
    "a weight of 101": (spec(strategy=canary({"setWeight": 101})), f"{STEPS}[0].setWeight", "is 101"),
    "steps that go down": (
        spec(strategy=canary({"setWeight": 50}, {"setWeight": 20})),
        f"{STEPS}[1].setWeight",
        "falls from 50 to 20",
    ),
    "two strategies": (
        spec(strategy=canary() | {"blueGreen": {}}),
        "spec.strategy",
        "names exactly one of",
    ),
    "a strategy without what it needs": (spec(strategy={"bandit": {}}), "spec.strategy.bandit.reward", "is required"),
    "an unknown strategy": (spec(strategy={"hope": {}}), "spec.strategy.hope", "is not a field of this release"),
    "an unknown runtime": (spec({"runtime": "tensorflow"}), "spec.model.runtime", '"tensorflow"'),
    "a model that is not there": (
        spec({"uri": "file:///nowhere/iris.joblib"}),
        "spec.model.uri",
        "there is nothing at /nowhere/iris.joblib",
    ),
    "the wrong SHA-256": (spec({"sha256": "0" * 64}), "spec.model.sha256", "has the SHA-256"),
}


@pytest.fixture(scope="module")
def stored(stack) -> Iterator[Row]:
    """A rollout that is there already, as it is stored."""
    stack.apply(NAME, "iris-1")
    stack.until(NAME, lambda status: status.get("phase") == "Healthy")
    yield row(stack, NAME)
    stack.cli("delete", NAME)


@pytest.mark.parametrize(("changes", "field", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_manifest_that_makes_no_sense_is_refused_with_field_and_reason(stack, stored, changes, field, reason) -> None:
    manifest = changed(stack, NAME, changes)
    said = refusal(stack, manifest)
    assert f"{manifest}:1: {field}: " in said
    assert reason in said
    assert row(stack, NAME) == stored


def test_what_is_not_yaml_is_refused_with_its_line(stack, stored) -> None:
    manifest = stack.home / "torn.yaml"
    manifest.write_text("kind: ModelRollout\nmetadata: {name: bad-manifests\nspec: {}\n")
    assert f"{manifest}:3: not valid YAML: " in refusal(stack, manifest)
    assert row(stack, NAME) == stored


def test_a_bad_document_keeps_the_good_one_beside_it_from_being_applied(stack, stored) -> None:
    good = changed(stack, NAME, spec(serving={"replicas": 2})).read_text()
    bad = changed(stack, "beside", spec(replica=3)).read_text()
    both = stack.home / "both.yaml"
    both.write_text(f"{good}---\n{bad}")
    said = refusal(stack, both)
    assert f"{both}:{good.count(chr(10)) + 2}: spec.replica: " in said
    assert row(stack, NAME) == stored
    assert row(stack, "beside") is None


class Reads:
    """Is pickled as something that a file beside it is needed for."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return joblib.load, (self.path,)


async def test_models_that_cannot_be_loaded_never_get_a_request_and_say_why(stack, tmp_path) -> None:
    joblib.dump({"weights": [1.0, 2.0]}, tmp_path / "dictionary.joblib")
    foreign = make_pipeline(FunctionTransformer(sqrt), LogisticRegression())
    skops.io.dump(foreign, tmp_path / "foreign.skops")
    weights = tmp_path / "weights.joblib"
    joblib.dump(Reads(weights), tmp_path / "incomplete.joblib")

    def another(name: str) -> None:
        stack.apply(name, "iris-2")

    def mended(name: str) -> None:
        joblib.dump(LogisticRegression(max_iter=1000).fit(ROWS, LABELS), weights)
        stack.cli("retry", name)

    missing = f"incomplete.joblib raised FileNotFoundError: [Errno 2] No such file or directory: '{weights}'"
    async with asyncio.TaskGroup() as group:
        for file, reason, mend in (
            ("dictionary.joblib", "dictionary.joblib holds a dict, which has no predict method", another),
            ("foreign.skops", "foreign.skops holds types that are not trusted: math.sqrt", another),
            ("incomplete.joblib", missing, mended),
        ):
            group.create_task(survives(stack, tmp_path / file, reason, mend))


async def survives(stack, model: Path, reason: str, mend: Callable[[str], None]) -> None:
    """Apply a model that cannot be loaded beside one that is live and under load, see it fail, and mend it."""
    name = f"bad-{model.stem}"
    await asyncio.to_thread(stack.apply, name, "iris-1")
    stable = (await until(stack, name, "Healthy"))["stable"]["id"]
    async with steady(stack.port, cycle_rows(f"/v2/models/{name}/infer", ROWS), connections=2, pace=0.01) as load:
        manifest = changed(stack, name, spec({"uri": str(model)}))
        await asyncio.to_thread(stack.cli, "apply", "-f", str(manifest))
        status = await until(stack, name, "Degraded")
        assert reason in status["message"]
        assert status["stable"]["id"] == stable
        description = (await asyncio.to_thread(stack.cli, "describe", name)).stdout
        assert description.count(reason) >= 3  # in the message, the conditions and an event
        assert f"tidegate retry {name}" in description
        assert set(load.tally.versions) == {stable}

        await asyncio.to_thread(mend, name)
        good = (await until(stack, name, "Healthy"))["stable"]["id"]
        tally, _ = await burst(stack.port, list(islice(cycle_rows(f"/v2/models/{name}/infer", ROWS), 10)))
    assert set(tally.versions) == {good}
    assert set(load.tally.versions) <= {stable, good}
    assert load.tally.failed == 0, load.tally.failures
    await asyncio.to_thread(stack.cli, "delete", name)


def changed(stack, name: str, changes: dict[str, Any]) -> Path:
    """A good manifest with changes to its spec."""
    path = stack.manifest(name, "iris-1")
    manifest = yaml.safe_load(path.read_text())
    model = manifest["spec"]["model"] | changes["model"]
    manifest["spec"] |= changes | {"model": model}
    path.write_text(yaml.safe_dump(manifest))
    return path


def refusal(stack, manifest: Path) -> str:
    """What `apply` says on stderr when it refuses a manifest."""
    done = stack.cli("apply", "-f", str(manifest), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the manifests are not valid, nothing was changed:" in done.stderr
    return done.stderr


def row(stack, name: str) -> Row | None:
    """The rollout as it is stored, its status too."""
    database = Database(stack.home / "store.db")
    try:
        return database.row(RolloutKey("default", name))
    finally:
        database.close()


async def until(stack, name: str, phase: str) -> dict[str, Any]:
    """Wait for a phase that holds for the spec as it is now; the status."""
    found = row(stack, name)
    assert found is not None

    def reached(status: dict[str, Any]) -> bool:
        return status.get("observedGeneration") == found.generation and status["phase"] == phase

    return await asyncio.to_thread(stack.until, name, reached)
