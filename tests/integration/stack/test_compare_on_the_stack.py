"""The commands that ask the monitor, on a real stack: a candidate in the shadow, labels, traffic that drifts."""

import asyncio
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import joblib
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from stackkit import Stack, canary, first_version, free_port, healthy_with, until

from benchmarks.client import Answer, Load, post

NAME = "compared"
SPECIES: Sequence[int] = load_iris().target.tolist()
FLOWERS: Sequence[Sequence[float]] = load_iris().data.tolist()
COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")


class Crowd:
    """Asks for flowers, and writes down what they are."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack, self._dice = stack, Random(seed)

    async def ask(self, prefix: str, requests: int, shift: float = 0.0) -> list[dict[str, Any]]:
        """Flowers whose petals are longer by `shift`; feedback about each."""
        flowers = [self._dice.randrange(len(FLOWERS)) for _ in range(requests)]
        answers: list[Answer] = []
        load = Load(self._stack.port, self._payloads(prefix, flowers, shift), each=answers.append)
        await load.run(connections=8)
        assert {answer.status for answer in answers} == {200}, load.tally.failures[:3]
        return [
            {"request_id": f"{prefix}-{number}", "label": SPECIES[flower], "reward": float(SPECIES[flower] != 1)}
            for number, flower in enumerate(flowers)
        ]

    def _payloads(self, prefix: str, flowers: Sequence[int], shift: float) -> Iterator[bytes]:
        for number, flower in enumerate(flowers):
            fields = dict(zip(COLUMNS, FLOWERS[flower], strict=True))
            fields["petal_length"] += shift
            path, headers = f"/api/v1/models/{NAME}/predict", {"x-request-id": f"{prefix}-{number}"}
            yield post(path, json.dumps(fields).encode(), headers)


async def model(stack: Stack, path: Path, columns: int) -> dict[str, Any]:
    """A model that looks at the first of a flower's columns only, with the statistics of its data beside it."""
    rows = np.array(FLOWERS)
    chosen = make_column_transformer(("passthrough", list(range(columns))))
    fitted = make_pipeline(chosen, LogisticRegression(max_iter=1000)).fit(rows, SPECIES)
    joblib.dump(fitted, path)
    data = path.with_suffix(".csv")
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "species", "predict"])
        answers = fitted.predict(rows).tolist()
        writer.writerows([*row, *both] for row, both in zip(FLOWERS, zip(SPECIES, answers, strict=True), strict=True))
    options = ("--predictions", "predict", "--without", "species")
    said = await told(stack, "profile", str(data), "-o", f"{path}.profile.json", *options)
    assert said.endswith("150 rows, 4 features, 1 predictions\n")
    inputs = [{"name": name, "datatype": "FP64"} for name in COLUMNS]
    return {"uri": f"file://{path}", "runtime": "sklearn", "inputs": inputs}


async def told(stack: Stack, *arguments: str) -> str:
    return (await asyncio.to_thread(stack.cli, *arguments)).stdout


async def report(stack: Stack, *arguments: str) -> Any:
    return json.loads(await told(stack, *arguments, "-o", "json"))


async def test_a_candidate_in_the_shadow_is_compared_labelled_and_watched(stack: Stack, tmp_path: Path) -> None:
    hosts = {"hosts": ["compared.example.org", "*"]}
    first, second = await model(stack, tmp_path / "all.joblib", 4), await model(stack, tmp_path / "some.joblib", 3)
    stable = await first_version(stack, NAME, model=first, traffic=hosts)
    crowd = Crowd(stack, seed=11)
    checks = [{"name": "agreement", "metric": "shadow-agreement", "min": 0.5, "minSamples": 100}]
    await asyncio.to_thread(
        stack.apply,
        NAME,
        "iris-2",
        model=second,
        traffic=hosts,
        strategy=canary({"setShadow": 100}, {"pause": {}}),
        analysis={"interval": "1s", "checks": checks},
    )
    status = await until(stack, NAME, lambda status: status.get("shadow") == 100 and status["phase"] == "Paused")
    candidate = status["candidate"]["id"]
    said = await crowd.ask("copied", 400)
    path = tmp_path / "said.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in said))
    await until(stack, NAME, lambda status: [one["verdict"] for one in status["checks"]] == ["Pass"])

    # What people say goes the way of a client
    assert await told(stack, "feedback", NAME, "--file", str(path)) == "accepted 400, unknown 0, conflicts 0\n"
    assert await told(stack, "feedback", NAME, "--file", str(path)) == "accepted 400, unknown 0, conflicts 0\n"
    wrong = await asyncio.to_thread(stack.cli, "feedback", NAME, "copied-7", "--reward", "9", check=False)
    assert (wrong.returncode, "conflict: copied-7" in wrong.stderr) == (1, True)
    assert (await told(stack, "feedback", NAME, "nobody", "--label", "1")).startswith("accepted 1, unknown 1")

    # How the candidate compares
    found = await report(stack, "compare", NAME)
    assert (found["stable"], found["candidate"]) == (stable, candidate)
    assert found["shadow"]["pairs"] == 400
    assert 0.9 < found["shadow"]["agreement"]["value"] < 1
    labels = found["versions"][0]["labels"]
    assert labels["labels"] == 400
    assert labels["classification"]["accuracy"]["value"] > 0.9
    assert [one["name"] for one in found["checks"]] == ["agreement"]
    page = await told(stack, "compare", NAME, "--since", "1h")
    assert f"{NAME}: candidate {candidate} against stable {stable}, the last 1h" in page
    assert "STABLE \\ CANDIDATE" in page
    assert "Tests for one look that was planned" in page
    assert f"What it means for {candidate}: it agrees with the stable version in " in page

    # Whether its data moved: not yet, and then the petals grow
    calm = await report(stack, "drift", NAME, "--version", stable)
    assert calm["features"]["reference"] == "file"
    assert [one["name"] for one in calm["features"]["columns"] if one["verdict"] == "Fail"] == []
    await crowd.ask("longer", 1_000, shift=3.0)
    drifted = await report(stack, "drift", NAME, "--version", stable, "--window", "900")
    assert drifted["features"]["verdict"] == "Fail"
    moved = {one["name"] for one in drifted["features"]["columns"] if one["verdict"] == "Fail"}
    assert moved == {"petal_length"}
    page = await told(stack, "drift", NAME, "--version", stable, "--report", str(tmp_path / "drift.html"))
    assert "What it means: petal_length" in page
    assert "feature petal_length" in (tmp_path / "drift.html").read_text()

    # Over time, and what happened
    performance = await report(stack, "performance", NAME, "--bucket", "1m")
    assert {one["version"] for one in performance["versions"]} == {stable}
    assert sum(one["labels"] for one in performance["versions"][0]["buckets"]) == 400
    assert "a trend needs 12 lines" in await told(stack, "performance", NAME)
    happened = (await report(stack, "events", NAME))["events"]
    assert any(one["title"] == f"Started: {candidate}" for one in happened)

    # By labels it is judged once users hear from it
    await told(stack, "promote", NAME, "--full")
    await until(stack, NAME, healthy_with(candidate))
    said = await crowd.ask("new", 200)
    with (tmp_path / "said.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["request_id", "label", "reward"])
        writer.writeheader()
        writer.writerows(said)
    assert (await told(stack, "feedback", NAME, "--file", str(tmp_path / "said.csv"))).startswith("accepted 200")
    found = await report(stack, "compare", NAME)
    assert (found["stable"], found["candidate"]) == (stable, candidate)
    assert {one["metric"] for one in found["differences"]} == {"error-rate", "latency-ms", "accuracy", "reward"}
    await told(stack, "delete", NAME)


def test_who_asks_a_stack_that_does_not_run_is_told_how_to_start_it(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port())
    stack.apply("iris", "iris-1")
    for command in (["compare", "iris"], ["drift", "iris"], ["feedback", "iris", "r", "--label", "1"]):
        done = stack.cli(*command, check=False)
        assert (done.returncode, done.stderr) == (1, "error: nothing is running here\nstart it: tidegate up\n")
