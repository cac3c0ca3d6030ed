"""drift --report: Evidently's own page, made from the values that the monitor has."""

from pathlib import Path

import pytest
from cli_kit import fails, live, works
from pydantic import TypeAdapter
from report_cases import DRIFT
from stub_web import Asked, stub_web

from monitor.answers.samples import Family, Sample, Table
from operators.cli.errors import CliError
from operators.cli.evidentlyreport import write
from operators.local.home import Home

NUMBERS = [one / 100 for one in range(200)]
FEATURES = Family(
    Table({"petal_length": NUMBERS, "colour": ["red"] * 40, "rare": [1.0], "gone": NUMBERS}, ("colour",)),
    Table({"petal_length": [one + 1 for one in NUMBERS[:150]], "colour": ["red", "blue", None] * 50, "new": [1]}, ()),
)
SAMPLE = Sample("default", "iris", "v2", FEATURES, Family(Table({}, ()), Table({}, ())))


def test_the_report_has_every_column_that_both_sides_have(home: Home, folder: Path, tmp_path: Path) -> None:
    live(home, folder)
    answers = {"drift": DRIFT, "sample": SAMPLE}

    def answer(asked: Asked) -> tuple[int, object]:
        found = answers[asked.path.removeprefix("/internal/v1/")]
        return 200, TypeAdapter(type(found)).dump_python(found, mode="json")

    with stub_web(answer) as web:
        home.monitor_url.parent.mkdir(parents=True)
        home.monitor_url.write_text(web.url)
        home.monitor_token.write_text("t")
        works("drift", "iris", "--report", tmp_path / "drift.html")
    assert web.asked[-1].query["version"] == ["v2"]  # the one that the text is about
    page = (tmp_path / "drift.html").read_text()
    assert "feature petal_length" in page
    assert "feature colour" in page
    for absent in ("feature rare", "feature gone", "feature new"):
        assert absent not in page
    assert '<script src="http' not in page  # it can be read without a network


def test_without_evidently_the_command_says_how_to_install_it(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    live(home, folder)
    monkeypatch.setattr("operators.cli.evidentlyreport.find_spec", lambda name: None)
    assert fails("drift", "iris", "--report", tmp_path / "drift.html") == (
        "error: --report needs Evidently, which is not installed\ninstall it: pip install 'tidegate[report]'\n"
    )


def test_an_evidently_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(name: str) -> object:
        raise ImportError(f"cannot import {name}")

    monkeypatch.setattr("operators.cli.evidentlyreport.import_module", broken)
    with pytest.raises(CliError, match="Evidently cannot be used: cannot import pandas\ninstall it: "):
        write(SAMPLE, tmp_path / "drift.html")


def test_without_a_common_column_there_is_no_report(tmp_path: Path) -> None:
    nothing = Sample("default", "iris", "v2", SAMPLE.predictions, SAMPLE.predictions)
    with pytest.raises(CliError, match="no report: iris has no column with 10 values in its reference and 10"):
        write(nothing, tmp_path / "drift.html")
    assert not (tmp_path / "drift.html").exists()


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="cannot be written: No such file"):
        write(SAMPLE, tmp_path / "absent" / "drift.html")
