"""Commands about experiments: what they show of variants, what they ask for, what they refuse."""

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_kit import fails, live, manifest, remember, rolling, stored, tidegate, works
from rich.console import Console

from operators.api import experiment_digest, resolved_sha256, revision_of
from operators.cli.live import forest
from operators.local.home import Home
from operators.plan import Command
from operators.status import Arm, Experiment, Phase, Tally, Variant

VARIANTS = [
    {"name": "b", "model": {"uri": "./models/iris-2", "runtime": "sklearn"}},
    {"name": "c", "model": {"uri": "./models/digits-1", "runtime": "sklearn"}},
]
TEST = {"abTest": {"shares": {"control": 50, "b": 25, "c": 25}, "goal": {"metric": "success-rate"}}}


@pytest.fixture
def ab_test(folder: Path) -> Path:
    """The manifest of an A/B test of iris with two variants."""
    path = folder / "test.yaml"
    path.write_text(manifest("iris", "./models/iris-1", strategy=TEST, variants=VARIANTS))
    return path


def comparing(home: Home, folder: Path, ab_test: Path, winner: str = "", **changes: Any) -> list[str]:
    """The test with what it has found so far; the ids of control, b and c. c was taken out."""
    stable = live(home, folder)
    works("apply", "-f", ab_test)
    rollout = stored(home)
    b, c = revision_of(rollout, "b"), revision_of(rollout, "c")
    arms = (
        Arm("control", stable, 7500, counted=Tally(1200, 1080.0, 1080.0), value=0.9, low=0.85, high=0.94),
        Arm("b", b.id, 2500, counted=Tally(400, 388.0, 388.0), value=0.97, low=0.945, best=0.995, worth=0.965),
    )
    status = replace(
        rollout.status,
        observed_generation=rollout.metadata.generation,
        phase=Phase.PROGRESSING,
        message="b beside control",
        variants=(Variant("b", b, 2500, 1), Variant("c", c, failure="it could not be loaded")),
        experiment=Experiment(time.time() - 200, arms, winner=winner, message="b is ahead"),
        trial=experiment_digest(rollout),
    )
    remember(home, replace(status, **changes))
    return [stable, b.id, c.id]


def test_apply_pins_the_content_of_every_variant(home: Home, folder: Path, ab_test: Path) -> None:
    works("apply", "-f", ab_test)
    rollout = stored(home)
    assert [one.model.uri for one in rollout.spec.variants] == [
        f"file://{folder}/models/iris-2",
        f"file://{folder}/models/digits-1",
    ]
    before, digest = revision_of(rollout, "b").id, rollout.metadata.annotations[resolved_sha256("b")]
    (folder / "models" / "iris-2").write_text("other bytes")
    assert works("plan", ab_test).startswith("modelrollout/iris: would be configured\n")
    assert works("apply", "-f", ab_test) == "modelrollout/iris configured\n"
    assert stored(home).metadata.annotations[resolved_sha256("b")] != digest
    assert revision_of(stored(home), "b").id != before


def test_every_model_that_is_not_what_was_meant_is_told(home: Home, folder: Path) -> None:
    models = [{"uri": "./models/none"}, {"uri": "./models/iris-2", "sha256": "0" * 64}]
    variants = [one | {"model": {"runtime": "sklearn"} | model} for one, model in zip(VARIANTS, models, strict=True)]
    (folder / "bad.yaml").write_text(manifest("iris", "./models/gone", strategy=TEST, variants=variants))
    error = fails("apply", "-f", folder / "bad.yaml")
    assert f"spec.model.uri: there is nothing at {folder}/models/gone" in error
    assert f"spec.variants[0].model.uri: there is nothing at {folder}/models/none" in error
    assert "spec.variants[1].model.sha256: " in error


def test_plan_says_when_the_variants_start_and_on_which_shares(home: Home, folder: Path, ab_test: Path) -> None:
    first = works("plan", ab_test).splitlines()
    live(home, folder)
    then = works("plan", ab_test).splitlines()
    works("apply", "-f", ab_test)
    control, b, c = (revision_of(stored(home), name).id for name in (None, "b", "c"))
    assert first[-1] == f"  b, c would start beside version {control} once it is stable"
    assert f"  variant b ({b}) would start and be compared with the stable version on 25%" in then
    assert f"  variant c ({c}) would start and be compared with the stable version on 25%" in then


def test_plan_of_a_canary_says_its_size_and_its_selected_requests(home: Home, folder: Path) -> None:
    live(home, folder)
    steps = [{"setReplicas": 1}, {"setWeight": 5}]
    spec = {"strategy": {"canary": {"steps": steps}}, "traffic": {"match": [{"header": "x-beta"}]}}
    (folder / "canary.yaml").write_text(manifest("iris", "./models/iris-2", serving={"replicas": 2}, **spec))
    lines = [" ".join(line.split()) for line in works("plan", folder / "canary.yaml").splitlines()]
    assert "2. setWeight 5 % candidate 5%, stable 95%, selected requests, 1 of 2 replicas" in lines


def test_plan_of_an_experiment_under_way_or_over_says_so(home: Home, folder: Path, ab_test: Path) -> None:
    _, b, c = comparing(home, folder, ab_test)
    text = works("plan", ab_test)
    assert f"  variant b ({b}) is compared with the stable version on 25%\n" in text
    assert f"  variant c ({c}) was taken out: it could not be loaded\n" in text
    remember(home, replace(stored(home).status, variants=()))
    assert "  the experiment is over and does not begin again; say: tidegate retry iris\n" in works("plan", ab_test)


def test_describe_shows_variants_and_what_was_found(home: Home, folder: Path, ab_test: Path) -> None:
    stable, b, c = comparing(home, folder, ab_test, winner="b")
    lines = [" ".join(line.split()) for line in works("describe", "iris").splitlines()]
    assert f"Variant b: file://{folder}/models/iris-2 (sklearn)" in lines
    assert f"variant b {b} 25% - 1/1" in lines
    assert f"variant c {c} 0% - - taken out: it could not be loaded" in lines
    assert f"stable {stable} 75% - 1/1" in lines
    assert f"control {stable} 75% 1200 0.9 0.85 to 0.94 - -" in lines
    assert f"b {b} 25% 400 0.97 0.945 to any 99.5% 0.965" in lines
    assert "Winner: b" in lines
    assert "Message: b is ahead" in lines
    assert any(line.startswith("Began: ") and line.endswith("(3m20s ago)") for line in lines)


def test_get_wide_counts_the_replicas_of_the_variants(home: Home, folder: Path, ab_test: Path) -> None:
    comparing(home, folder, ab_test)
    assert "   1/1, b 1/1   b beside control" in works("get", "-o", "wide")


def test_the_live_tree_shows_variants_and_their_estimates(home: Home, folder: Path, ab_test: Path) -> None:
    stable, b, c = comparing(home, folder, ab_test, winner="b")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(forest([stored(home)], time.time()))
    text = console.export_text()
    assert f"b          {b}  █████░░░░░░░░░░░░░░░    25%  1/1 ready" in text
    assert f"c          {c}  taken out: it could not be loaded" in text
    assert f"stable     {stable}  ███████████████░░░░░    75%  1/1 ready" in text
    assert "control    0.9 (0.85 to 0.94) of 1200" in text
    assert "b          0.97 (0.945 to any) of 400  best with 99.5%  has won" in text


def test_a_candidate_of_another_size_that_answers_selected_requests_is_shown_so(home: Home, folder: Path) -> None:
    _, candidate = rolling(home, folder)
    remember(home, replace(stored(home).status, replicas=3, selected=True))
    lines = [" ".join(line.split()) for line in works("describe", "iris").splitlines()]
    assert f"candidate {candidate} 5% 0% 1/3 and selected requests" in lines
    assert "1/1, 1/3" in works("get", "-o", "wide")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(forest([stored(home)], time.time()))
    assert "1/3 ready  and selected requests" in console.export_text()


@pytest.mark.parametrize(
    ("options", "value", "done"),
    [
        (["--variant", "b"], "variant=b", "promotion of b requested"),
        (["--variant", "b", "--force"], "variant=b,force", "promotion of b requested"),
        (["--variant", "control"], "variant=control", "promotion of control requested"),
        ([], "step", "promotion requested"),
    ],
)
def test_promote_ends_an_experiment(
    home: Home, folder: Path, ab_test: Path, options: list[str], value: str, done: str
) -> None:
    comparing(home, folder, ab_test, winner="b")
    assert works("promote", "iris", *options) == f"modelrollout/iris: {done}\n"
    assert stored(home).commands == {Command.PROMOTE: value}


def test_promote_of_what_cannot_be_promoted_says_what_can(home: Home, folder: Path, ab_test: Path) -> None:
    comparing(home, folder, ab_test)
    assert fails("promote", "iris") == (
        "error: no variant of modelrollout/iris has won yet\nname one: tidegate promote iris --variant b\n"
    )
    assert fails("promote", "iris", "--variant", "c") == "error: modelrollout/iris has no variant c; there are: b\n"
    result = tidegate("promote", "iris", "--variant", "b", "--full")
    assert (result.exit_code, "leave out --full" in result.stderr) == (2, True)
    assert stored(home).commands == {}


def test_promote_of_a_variant_where_none_are_points_to_the_candidate(home: Home, folder: Path) -> None:
    rolling(home, folder)
    assert fails("promote", "iris", "--variant", "b") == (
        "error: modelrollout/iris has no variants\npromote its candidate: tidegate promote iris\n"
    )


def test_abort_ends_an_experiment_and_retry_begins_it_anew(home: Home, folder: Path, ab_test: Path) -> None:
    comparing(home, folder, ab_test)
    works("abort", "iris")
    assert stored(home).commands == {Command.ABORT: ""}
    remember(home, replace(stored(home).status, variants=()))
    works("retry", "iris")
    assert stored(home).commands[Command.RETRY] == ""


def test_retry_brings_back_a_variant_that_was_taken_out(home: Home, folder: Path, ab_test: Path) -> None:
    comparing(home, folder, ab_test)
    works("retry", "iris")
    assert stored(home).commands == {Command.RETRY: ""}
