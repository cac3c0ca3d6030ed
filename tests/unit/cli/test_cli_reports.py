"""compare, drift, performance and events: what is asked of a monitor, and what is made of its answers."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_kit import fails, live, remember, rolling, stored, tidegate, works
from pydantic import TypeAdapter
from report_cases import (
    CANDIDATE,
    DRIFT,
    ERRORS,
    LABELS,
    LACKING,
    NUMBERS,
    PERFORMANCE,
    REPORT,
    SHADOW,
    STABLE,
    difference,
    event,
)
from stub_web import Asked, StubWeb, stub_web

from monitor.answers.comparison import Cell, ClassPairs
from monitor.event import Page
from monitor.verdict import Verdict
from operators.cli.comparison import comparison, meaning, shown
from operators.cli.drifting import drifting
from operators.cli.history import histories
from operators.local.home import Home
from operators.status import CheckResult
from operators.status import Verdict as Judgement
from tests import cli_rollouts

EVENTS = Page([event("b", 1_790_000_001.0, "Aborted"), event("a", 1_790_000_000.0, "Started")])
ANSWERS = {"compare": REPORT, "drift": DRIFT, "performance": PERFORMANCE, "events": EVENTS}


def answer(asked: Asked) -> tuple[int, Any]:
    if asked.headers.get("authorization") != "Bearer the-token":
        return 401, {}
    found = ANSWERS[asked.path.removeprefix("/internal/v1/")]
    return 200, TypeAdapter(type(found)).dump_python(found, mode="json")


@pytest.fixture
def web(home: Home) -> Iterator[StubWeb]:
    """A monitor in the place of the one that `tidegate up` starts."""
    with ExitStack() as stack:
        found = stack.enter_context(stub_web(answer))
        home.monitor_url.parent.mkdir(parents=True)
        home.monitor_url.write_text(found.url)
        home.monitor_token.write_text("the-token\n")
        yield found


# compare


def test_compare_is_about_the_versions_that_the_status_names(web: StubWeb, home: Home, folder: Path) -> None:
    stable, candidate = rolling(home, folder)
    shown_text = works("compare", "iris")
    assert "What it means for v2: " in shown_text.splitlines()[-1]
    assert web.asked[-1].path == "/internal/v1/compare"
    query = web.asked[-1].query
    assert (query["stable"], query["candidate"], float(query["since"][0])) == ([stable], [candidate], 0)
    works("compare", "iris", "--stable", "v8", "--candidate", "v9", "--since", "1h")
    query = web.asked[-1].query
    assert (query["stable"], query["candidate"], float(query["since"][0]) > 0) == (["v8"], ["v9"], True)


def test_a_version_that_has_taken_over_is_compared_with_the_one_before(web: StubWeb, home: Home, folder: Path) -> None:
    before = live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    status = cli_rollouts.live(stored(home))
    former = replace(status.revisions[0], id=before)
    remember(home, replace(status, revisions=(*status.revisions, former)))
    works("compare", "iris")
    assert status.stable is not None
    assert web.asked[-1].query["candidate"] == [status.stable.id]
    assert web.asked[-1].query["stable"] == [before]


def test_without_a_candidate_the_monitor_chooses_the_newest(web: StubWeb, home: Home, folder: Path) -> None:
    stable = live(home, folder)
    works("compare", "iris")
    assert web.asked[-1].query["stable"] == [stable]
    assert "candidate" not in web.asked[-1].query


def test_a_comparison_for_programs_has_the_checks_and_what_it_means(web: StubWeb, home: Home, folder: Path) -> None:
    _, candidate = rolling(home, folder)
    found = json.loads(works("compare", "iris", "-o", "json"))
    assert found["shadow"]["agreement"] == asdict(SHADOW.agreement)
    assert found["checks"] == []  # they are about another version than the answer is
    assert found["meaning"].startswith("What it means for v2: ")
    ANSWERS["compare"] = replace(REPORT, candidate=candidate, versions=(STABLE, replace(CANDIDATE, version=candidate)))
    try:
        found = yaml.safe_load(works("compare", "iris", "-o", "yaml"))
        text = works("compare", "iris")
    finally:
        ANSWERS["compare"] = REPORT
    assert [check["verdict"] for check in found["checks"]] == ["Pass"]
    assert "errors   Pass      1200" in text
    assert text.endswith("the rollout's checks pass.\n")


def test_the_page_of_a_comparison_has_all_that_is_known() -> None:
    page = comparison(REPORT, "  CHECKS", "1h")
    assert page.startswith("iris: candidate v2 against stable v1, the last 1h\n")
    for text in (
        "agreement       0.98 (0.95 to 0.996)   of 400 requests",
        "Cohen's kappa   0.9 (0.8 to 0.95)",
        "STABLE \\ CANDIDATE   a     b\n  a                    300   60\n  b                    0     40\n",
        "request-7   0     a        b           petal_length=1.5",
        "request-8   1     a        b           -",
        "candidate   v2        400        400      0        -",
        "stable   400      0.5        10s            0.98 (0.95 to 0.996)   0.97",
        "stable   setosa",
        "latency-ms   0.98     0.98        1            0.5 to 1.5      worse",
        "Tests for one look that was planned",
        "error-rate   Fisher   0.4",
        "Checks of the rollout:\n  CHECKS",
        "pairs: only the newest",
    ):
        assert text in page


def test_numbers_have_a_page_of_their_own_kind() -> None:
    versions = (replace(STABLE, labels=ERRORS), replace(CANDIDATE, labels=LABELS))
    page = comparison(replace(REPORT, shadow=NUMBERS, versions=versions), "", None)
    assert "all that is kept" in page
    assert "mean difference      0.25 (0.1 to 0.4)" in page
    assert "Jensen-Shannon       -" in page
    assert "STABLE \\ CANDIDATE" not in page
    stable, candidate = (line for line in page.splitlines() if "10s" in line)
    assert stable.split("10s")[1].split()[:4] == ["-"] * 4
    assert "1.25 (1 to 1.5)" in stable
    assert candidate.split()[-3:] == ["-"] * 3


def test_very_many_classes_are_listed_by_their_pairs() -> None:
    cells = tuple(Cell(f"c{number}", f"c{number + 1}", 100 - number) for number in range(40))
    shadow = replace(SHADOW, classes=ClassPairs(SHADOW.agreement, cells))
    page = comparison(replace(REPORT, shadow=shadow), "", None)
    assert "STABLE   CANDIDATE   REQUESTS\n  c0       c1          100\n" in page
    assert "c19" in page
    assert "c21" not in page


@pytest.mark.parametrize(
    ("low", "high", "higher", "verdict"),
    [
        (0.1, 0.2, True, Verdict.PASS),
        (0.1, None, False, Verdict.FAIL),
        (-0.2, -0.1, True, Verdict.FAIL),
        (None, -0.1, False, Verdict.PASS),
        (-0.1, 0.1, True, Verdict.INCONCLUSIVE),
        (None, None, True, Verdict.INCONCLUSIVE),
    ],
)
def test_only_an_interval_without_zero_shows_a_difference(
    low: float | None, high: float | None, higher: bool, verdict: Verdict
) -> None:
    assert shown(difference("reward", low, high, higher=higher)) is verdict


def test_what_it_means_names_agreement_differences_and_checks() -> None:
    check = CheckResult("errors", Judgement.FAIL, 0.2, 0.1, None, None, 10, "bad")
    assert meaning(REPORT, [check]) == (
        "What it means for v2: it agrees with the stable version in 98% of 400 requests; it is worse in latency-ms; "
        "no difference has been shown in error-rate, which may still be there; of the rollout's checks errors fails."
    )
    better = replace(REPORT, shadow=None, differences=(difference("reward", 0.1, 0.2, higher=True),))
    shown_only = replace(check, dry_run=True)
    assert meaning(better, [shown_only]) == "What it means for v2: it is better in reward."
    waiting = replace(check, verdict=Judgement.INCONCLUSIVE)
    assert meaning(better, [waiting]).endswith("of the rollout's checks errors cannot say yet.")


def test_a_version_without_requests_means_that_nothing_can_be_said_yet() -> None:
    unseen = replace(REPORT, versions=(STABLE, replace(CANDIDATE, records=0)))
    assert meaning(unseen, ()) == "Nothing can be compared yet: no requests to the candidate version are on record."
    nothing = replace(REPORT, stable="", candidate="", versions=(), shadow=None, differences=())
    assert "to the stable and the candidate version" in meaning(nothing, ())
    assert comparison(nothing, "", None).startswith("iris: candidate - against stable -, ")


# drift, performance, events


def test_drift_shows_columns_quality_and_errors(web: StubWeb, home: Home, folder: Path) -> None:
    live(home, folder)
    page = works("drift", "iris", "--version", "v2", "--window", 900)
    assert (web.asked[-1].query["version"], web.asked[-1].query["window"]) == (["v2"], ["900"])
    assert page.startswith("iris: the newest 900 requests of version v2, from 2026-09-21T14:13:20Z to ")
    for text in (
        "Features against the profile beside the model:",
        "petal_length   Fail           1.5   KS     0.6         2e-09        0.4   900      1e+05      value 447",
        "the window has no such feature",
        "Predictions against no reference yet:\n  there is no reference: 12 of the 1000 records",
        "petal_length   range   9      0.01    r1, r2",
        "ADWIN          Fail           500      2026-09-21T14:13:50Z: 0.02 to 0.5",
    ):
        assert text in page
    assert page.splitlines()[-1] == (
        "What it means: petal_length moved farther from the reference than chance explains; rows break the rules that "
        "the reference suggests; labels show another error than before (ADWIN); predictions cannot be judged without "
        "a reference."
    )
    assert json.loads(works("drift", "iris", "-o", "json"))["features"]["columns"][0]["alarm_at"] == 447


def test_drift_says_when_nothing_moved_or_nothing_could_be_compared() -> None:
    calm = replace(
        DRIFT.features, verdict=Verdict.PASS, columns=(replace(DRIFT.features.columns[0], verdict=Verdict.PASS),)
    )
    quiet = replace(DRIFT, features=calm, predictions=calm, quality=None, concept=(), reference_version="v1")
    page = drifting(quiet)
    assert page.endswith("What it means: nothing has been shown to move.")
    assert "Features against version v1: the profile beside the model" in page
    blind = replace(quiet, features=replace(calm, columns=(LACKING,)))
    assert drifting(blind).endswith("What it means: of the features nothing could be compared.")
    assert drifting(replace(DRIFT, version="")) == "iris: no requests are on record yet."


def test_performance_shows_buckets_and_who_gets_worse(web: StubWeb, home: Home, folder: Path) -> None:
    live(home, folder)
    page = works("performance", "iris", "--bucket", "15m")
    assert web.asked[-1].query["bucket"] == ["15m"]
    assert "2026-09-21T14:13:20Z   1,200      3" in page
    assert "accuracy   yes          -0.01      -0.02 to -0.005" in page
    assert "What stands out of v1:\n  METRIC           FROM " in page
    assert (
        "accuracy         2026-09-21T14:13:20Z   2026-09-21T15:13:20Z   0.5 to 0.6   0.9     outlier, 9 points" in page
    )
    assert "latency-p95-ms   2026-09-21T14:13:20Z   2026-09-21T14:13:20Z   90           4.5     outlier\n" in page
    assert page.endswith(
        "What it means: v1 gets steadily worse in accuracy; stretches that stand out from the others: 2 of v1.\n"
    )
    assert tidegate("performance", "iris", "--bucket", "1h30m").exit_code == 2
    assert tidegate("performance", "iris", "--since", "yesterday").exit_code == 2
    good = replace(PERFORMANCE.versions[0], degradation=Verdict.PASS, oddities=())
    assert "stands out" not in histories(replace(PERFORMANCE, versions=(good,)))
    assert histories(replace(PERFORMANCE, versions=(good,))).endswith("no version gets steadily worse.")
    early = replace(good, degradation=Verdict.INCONCLUSIVE, trends=())
    assert "a trend needs 12 lines" in histories(replace(PERFORMANCE, versions=(early,)))
    assert histories(replace(PERFORMANCE, versions=())).startswith("iris: no requests are on record since ")


def test_events_are_shown_oldest_first(web: StubWeb, home: Home, folder: Path) -> None:
    live(home, folder)
    lines = works("events", "iris", "--limit", 5).splitlines()
    assert [line.split()[5] for line in lines[1:]] == ["Started", "Aborted"]
    assert lines[1].endswith("m n")
    assert (web.asked[-1].query["model"], web.asked[-1].query["limit"]) == (["iris"], ["5"])
    assert [one["key"] for one in json.loads(works("events", "-o", "json"))["events"]] == ["a", "b"]
    assert "model" not in web.asked[-1].query
    assert tidegate("events", "-w", "-o", "json").exit_code == 2


def test_a_rollout_that_does_not_exist_is_no_question_for_the_monitor(web: StubWeb) -> None:
    planning = ("power", "--metric", "error-rate", "--effect", "0.1")
    for command in (("compare",), ("drift",), ("performance",), planning, ("events",)):
        assert fails(*command, "iris") == (
            "error: there is no modelrollout/iris, nor any other\nmake one: tidegate apply -f FILE\n"
        )
    assert web.asked == []


# the way to the monitor


def test_without_a_running_stack_nothing_can_be_asked(home: Home, folder: Path) -> None:
    live(home, folder)
    assert fails("compare", "iris") == "error: nothing is running here\nstart it: tidegate up\n"


def test_a_stack_that_was_killed_is_told_from_one_that_runs(web: StubWeb, home: Home, folder: Path) -> None:
    live(home, folder)
    with stub_web(answer) as gone:
        home.monitor_url.write_text(gone.url)
    said = fails("drift", "iris")
    assert said.startswith(f"error: the monitor at {gone.url} cannot be reached: ")
    assert said.endswith("start it: tidegate up\n")


def test_the_environment_names_another_monitor(
    web: StubWeb, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(home, folder)
    home.monitor_url.unlink()
    monkeypatch.setenv("TIDEGATE_MONITOR_URL", web.url)
    said = fails("compare", "iris")
    assert said.startswith(f"error: the monitor at {web.url} refused the token")
    assert said.endswith("it is the one that TIDEGATE_MONITOR_URL names\n")
    monkeypatch.setenv("TIDEGATE_MONITOR_TOKEN_FILE", str(home.monitor_token))
    assert works("compare", "iris").startswith("iris: candidate v2")
    monkeypatch.setenv("TIDEGATE_MONITOR_TOKEN_FILE", str(folder / "absent"))
    assert "absent, which cannot be read: No such file" in fails("compare", "iris")
