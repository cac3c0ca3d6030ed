"""profile: the statistics file that lies beside a model."""

import json
from pathlib import Path

import pytest
from cli_kit import fails, works

from monitor.profiles import CategoricalColumn, NumericColumn, Profile

TABLE = "length,colour,known,species,predict\n1.5,red,true,a,0\n2.5,,False,b,1\n,blue,,a,1\n"


def made(path: Path) -> tuple[Profile, Profile | None]:
    found = json.loads(path.read_text())
    return Profile.from_json(json.dumps(found["features"])), (
        Profile.from_json(json.dumps(found["predictions"])) if found["predictions"] else None
    )


def test_numbers_are_numeric_and_everything_else_is_a_category(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(TABLE)
    path = tmp_path / "m.joblib.profile.json"
    said = works("profile", tmp_path / "data.csv", "-o", path, "--predictions", "predict", "--without", "species")
    assert said == f"{path}: 3 rows, 3 features, 1 predictions\n"
    features, predictions = made(path)
    assert set(features.columns) == {"length", "colour", "known"}
    length, colour, known = (features.columns[name] for name in ("length", "colour", "known"))
    assert isinstance(length, NumericColumn)
    assert (length.count, length.missing, length.mean) == (2, 1, 2.0)
    assert isinstance(colour, CategoricalColumn)
    assert (dict(colour.categories), colour.missing) == ({"blue": 1, "red": 1}, 1)
    assert isinstance(known, CategoricalColumn)
    assert dict(known.categories) == {"false": 1, "true": 1}  # as the values of requests are named
    assert predictions is not None
    predict = predictions.columns["predict"]
    assert isinstance(predict, CategoricalColumn)  # whole numbers that are answers name classes
    assert dict(predict.categories) == {"0": 1, "1": 2}


def test_a_profile_without_predictions_says_so(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x\n1\n2\n")
    works("profile", tmp_path / "data.csv", "-o", tmp_path / "m.profile.json")
    assert made(tmp_path / "m.profile.json")[1] is None


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (TABLE, ["--predictions", "answer"], "has no column answer; it has length, colour, known, species, predict"),
        ("x\n1\n", ["--without", "x"], "has no column left that could be a feature"),
        ("x,x\n1,2\n", [], "data.csv:1: the first line must name the columns, each once"),
        ("", [], "data.csv:1: the first line must name the columns, each once"),
        ("x,y\n1\n", [], "data.csv:2: 1 cells where 2 are expected"),
        ("x\n", [], "data.csv has no rows"),
    ],
)
def test_data_that_makes_no_profile_is_refused(tmp_path: Path, content: str, options: list[str], said: str) -> None:
    (tmp_path / "data.csv").write_text(content)
    assert said in fails("profile", tmp_path / "data.csv", "-o", tmp_path / "m.profile.json", *options)
    assert not (tmp_path / "m.profile.json").exists()


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    assert "absent cannot be read as CSV: " in fails("profile", tmp_path / "absent", "-o", tmp_path / "m.profile.json")
    (tmp_path / "data.csv").write_text("x\n1\n")
    assert "cannot be written: No such file" in fails("profile", tmp_path / "data.csv", "-o", tmp_path / "no" / "m")
    (tmp_path / "latin.csv").write_bytes(b"x\n\xe4\n")
    assert "cannot be read as CSV" in fails("profile", tmp_path / "latin.csv", "-o", tmp_path / "m.profile.json")
