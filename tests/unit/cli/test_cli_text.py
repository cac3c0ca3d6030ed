"""Times, shares and tables as people read them."""

from dataclasses import replace

import pytest

from operators.cli.text import age, percent, standing, table, verdict
from operators.status import CheckResult, Verdict


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (600, "10m"),
        (18_120, "5h2m"),
        (90_000, "1d1h"),
    ],
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0%"), (25, "0.25%"), (500, "5%"), (10_000, "100%")])
def test_shares_are_percentages(share: int, text: str) -> None:
    assert percent(share) == text


def test_the_verdict_of_many_checks_is_the_worst() -> None:
    def checks(*verdicts: Verdict) -> list[CheckResult]:
        return [CheckResult("c", one, None, 0.0, None, None, 0, "") for one in verdicts]

    assert verdict([]) == "-"
    assert verdict(checks(Verdict.PASS, Verdict.PASS)) == "Pass"
    assert verdict(checks(Verdict.PASS, Verdict.INCONCLUSIVE)) == "Inconclusive"
    assert verdict(checks(Verdict.INCONCLUSIVE, Verdict.FAIL)) == "Fail"


def test_what_has_no_say_is_left_out_of_the_verdict_and_says_why() -> None:
    tried = CheckResult("c", Verdict.FAIL, None, 0.0, None, None, 0, "", dry_run=True)
    past = replace(tried, verdict=Verdict.PASS, dry_run=False, idle=True)
    assert verdict([tried, past]) == "-"
    assert standing(tried) == "Fail (dry run)"
    assert standing(past) == "Pass (not judged in this step)"
    assert standing(replace(past, dry_run=True)) == "Pass (dry run, not judged in this step)"
    assert standing(replace(past, idle=False)) == "Pass"


def test_a_table_aligns_its_columns_and_ends_no_line_with_blanks() -> None:
    assert table(("NAME", "X"), [("iris", "1"), ("a", "")]) == "NAME   X\niris   1\na"
