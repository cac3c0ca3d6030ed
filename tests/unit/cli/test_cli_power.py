"""power: by what the monitor knows, or by what somebody says without any monitor."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_kit import fails, live, remember, rolling, stored, tidegate, works
from pydantic import TypeAdapter
from stub_web import Asked, StubWeb, stub_web

from monitor import fixed_horizon, planning
from monitor.answers.plan import Needed, Plan
from operators.local.home import Home

PLAN = Plan(
    namespace="default",
    model="iris",
    version="v1",
    metric="feedback-accuracy",
    samples="labels",
    usual=0.9,
    deviation=None,
    basis=5_700,
    effect=0.02,
    share=0.25,
    confidence=0.95,
    power=0.8,
    traffic=2.5,
    one_look=Needed(7_000, 2_334, 3_734.0),
    watched=Needed(12_900, 4_300, 6_880.0),
)
ASKED = ("--metric", "feedback-accuracy", "--effect", "0.02")
SAID = (*ASKED, "--rate", "0.9")


@pytest.fixture
def answers() -> list[Any]:
    """What the monitor answers: a status and a body."""
    return [200, TypeAdapter(Plan).dump_python(PLAN, mode="json")]


@pytest.fixture
def web(home: Home, answers: list[Any]) -> Iterator[StubWeb]:
    """A monitor in the place of the one that `tidegate up` starts."""

    def answer(asked: Asked) -> tuple[int, Any]:
        return answers[0], answers[1]

    with ExitStack() as stack:
        found = stack.enter_context(stub_web(answer))
        home.monitor_url.parent.mkdir(parents=True)
        home.monitor_url.write_text(found.url)
        home.monitor_token.write_text("the-token\n")
        yield found


def test_the_monitor_says_how_many_labels_and_how_long(web: StubWeb, home: Home, folder: Path) -> None:
    stable = live(home, folder)
    page = works("power", "iris", *ASKED, "--share", "0.25")
    for text in (
        "iris: to find a difference of 0.02 in feedback-accuracy with a probability of 80%, at a confidence of 95%\n",
        "usual     0.9 (5,700 labels of version v1)\n",
        "traffic   2.5 labels a second\n",
        "share     25% of the traffic for the candidate\n",
        "Labels of each version:\n  TEST                       STABLE   CANDIDATE   TAKES\n",
        "one look, planned before   7,000    2,334       1h2m\n",
        "watched, at any time       12,900   4,300       1h54m\n",
    ):
        assert text in page
    assert page.splitlines()[-1] == (
        "What to do: let a check or an experiment watch it until the candidate has 4,300 labels, about 1h54m, and "
        "often less, or look at `compare` once, at 2,334 and not before."
    )
    query = web.asked[-1].query
    assert web.asked[-1].path == "/internal/v1/plan"
    assert (query["version"], query["share"], query["effect"]) == ([stable], ["0.25"], ["0.02"])
    assert (query["metric"], query["confidence"], query["power"]) == (["feedback-accuracy"], ["0.95"], ["0.8"])


def test_the_share_is_the_one_that_the_candidate_has_now(web: StubWeb, home: Home, folder: Path) -> None:
    live(home, folder)
    works("power", "iris", *ASKED)
    assert "share" not in web.asked[-1].query
    rolling(home, folder)
    remember(home, replace(stored(home).status, weight=2_500, shadow=4_000))
    works("power", "iris", *ASKED)
    assert web.asked[-1].query["share"] == ["0.25"]
    works("power", "iris", "--metric", "shadow-agreement", "--effect", "0.02")
    assert web.asked[-1].query["share"] == ["0.4"]


def test_what_takes_longer_than_records_are_kept_is_no_plan(
    web: StubWeb, home: Home, folder: Path, answers: list[Any]
) -> None:
    live(home, folder)
    answers[1]["watched"]["seconds"] = 40 * 86_400.0
    page = works("power", "iris", *ASKED)
    assert page.endswith(
        "What to do: 40d is longer than most records are kept: look for a larger difference, or give the candidate "
        "more of the traffic.\n"
    )


def test_without_records_the_command_asks_for_what_is_usual(
    web: StubWeb, home: Home, folder: Path, answers: list[Any]
) -> None:
    live(home, folder)
    answers[1] |= {"usual": None, "basis": 0, "one_look": None, "watched": None, "traffic": None}
    assert fails("power", "iris", *ASKED) == (
        "error: no labels of iris's stable version are on record, so what is usual is not known\n"
        "say it: tidegate power --metric feedback-accuracy --effect 0.02 --rate RATE\n"
    )
    assert json.loads(works("power", "iris", *ASKED, "-o", "json"))["watched"] is None


def test_what_the_monitor_refuses_is_told_in_its_words(
    web: StubWeb, home: Home, folder: Path, answers: list[Any]
) -> None:
    live(home, folder)
    answers[:] = [400, {"error": "effect: error-rate is usually 0.5 and can neither rise nor fall so far"}]
    said = fails("power", "iris", *ASKED)
    assert said.endswith(
        "refused the question: effect: error-rate is usually 0.5 and can neither rise nor fall so far\n"
    )


@pytest.mark.parametrize("name", [(), ("iris",)])
def test_who_says_what_is_usual_needs_neither_a_monitor_nor_a_rollout(home: Home, name: tuple[str, ...]) -> None:
    found = json.loads(works("power", *name, *SAID, "-o", "json"))
    look, watch = fixed_horizon.plan_proportions(0.9, 0.88), planning.plan_proportions(0.9, 0.88)
    assert found["one_look"] == {"stable": look.base_samples, "candidate": look.variant_samples, "seconds": None}
    assert found["watched"] == {"stable": watch.base_samples, "candidate": watch.variant_samples, "seconds": None}
    page = works("power", *name, *SAID)
    assert "usual     0.9 (as you say)\n  traffic   -\n" in page
    assert f"until the candidate has {watch.variant_samples:,} labels and often less" in page


def test_rewards_are_planned_by_their_spread(home: Home) -> None:
    page = works("power", "--metric", "feedback-reward", "--effect", "0.5", "--sd", "3", "--share", "0.1")
    plan = planning.plan_means(0.5, 3, ratio=1 / 9)
    assert "usual     standard deviation 3 (as you say)" in page
    assert f"watched, at any time       {plan.base_samples:,}    {plan.variant_samples:,}" in page


def test_copies_give_both_versions_the_same_requests(home: Home) -> None:
    page = works("power", "--metric", "shadow-agreement", "--effect", "0.02", "--rate", "0.99")
    needed = planning.plan_share(0.97, 0.99)
    assert f"watched, at any time       {needed}      {needed}" in page
    assert "share     100% of the requests copied" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ASKED, "name a rollout, or say what is usual: --rate, or --sd for rewards"),
        ((*ASKED[:2], "--effect", "0"), "Invalid value for --effect: must be a number above 0"),
        ((*SAID[:3], "nan", *SAID[4:]), "Invalid value for --effect: must be a number above 0"),
        ((*SAID, "--share", "1"), "Invalid value for --share: must be below 1"),
        ((*SAID, "--share", "-0.1"), "Invalid value for --share: must be a number above 0"),
        ((*SAID, "--sd", "1"), "Invalid value for --sd: a rate has no other standard deviation than its own"),
        ((*ASKED, "--sd", "1"), "Invalid value for --sd: feedback-accuracy is a rate"),
        ((*SAID[:3], "0.95", *SAID[4:]), "Invalid value for --effect: feedback-accuracy is usually 0.9"),
        (("--metric", "mood", "--effect", "1"), "Invalid value for '--metric'"),
        ((*SAID, "--confidence", "1"), "Invalid value for '--confidence'"),
        ((*SAID, "--power", "0.2"), "Invalid value for '--power'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_option(home: Home, arguments: tuple[str, ...], message: str) -> None:
    result = tidegate("power", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_without_the_statistics_the_command_says_how_to_get_them(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "monitor.reports.needs", raising=False)
    monkeypatch.delitem(sys.modules, "monitor.fixed_horizon", raising=False)
    monkeypatch.delattr("monitor.fixed_horizon", raising=False)
    monkeypatch.setitem(sys.modules, "statsmodels.stats.power", None)  # as if it was not there
    said = fails("power", *SAID)
    assert said.startswith("error: statsmodels")
    assert "install it: pip install 'tidegate[monitor]', or let a monitor compute: leave out --rate and --sd\n" in said
