"""From files, folders and standard input to dictionaries, with a place for every problem."""

import io
from pathlib import Path

import pytest

from operators.manifests import STDIN, Reading, read


def read_text(text: str) -> Reading:
    return read([STDIN], io.StringIO(text))


def test_a_folder_gives_its_yaml_files_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "notes.txt"):
        (tmp_path / name).write_text(f"name: {name}")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.yaml").write_text("name: c")
    reading = read([tmp_path], io.StringIO())
    assert [document.content for document in reading.documents] == [{"name": "a.yaml"}, {"name": "b.yml"}]
    assert not reading.problems
    assert {document.folder for document in reading.documents} == {tmp_path}


def test_several_documents_each_know_their_line() -> None:
    reading = read_text("# first\na: 1\n---\n---\nb: 2\n")
    assert [(document.place, document.content) for document in reading.documents] == [
        ("standard input:2", {"a": 1}),
        ("standard input:5", {"b": 2}),
    ]


def test_a_date_stays_text_as_in_json() -> None:
    assert read_text("a: 2026-01-01").documents[0].content == {"a": "2026-01-01"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: [1\nc: 2\n", "standard input:3: not valid YAML: expected ',' or ']', but got ':'"),
        ("a: 1\nb: 2\na: 3\n", "standard input:3: not valid YAML: the field 'a' stands twice"),
        ("spec:\n  a: 1\n  a: 2\n", "standard input:3: not valid YAML: the field 'a' stands twice"),
        ("- a\n", "standard input:1: a manifest is a mapping of fields, this is a list"),
        ("", "standard input: holds no manifest"),
        ("a: " + "9" * 5000, "standard input: holds a number that is too long to be read"),
        ("a: " + "[" * 5000, "standard input: is nested too deeply to be read"),
        ("? [a]\n: 1\n", "standard input:1: not valid YAML: found unhashable key"),
    ],
)
def test_text_that_is_no_manifest_is_named_with_its_line(text: str, problem: str) -> None:
    assert read_text(text).problems == (problem,)


def test_unsafe_yaml_is_refused_and_never_run() -> None:
    (problem,) = read_text("a: !!python/object/apply:os.getcwd []").problems
    assert "could not determine a constructor" in problem


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    reading = read([tmp_path / "absent.yaml", tmp_path / "binary.yaml", tmp_path / "empty"], io.StringIO())
    assert reading.problems == (
        f"{tmp_path}/absent.yaml: no such file or folder",
        f"{tmp_path}/binary.yaml: not UTF-8 text (byte 0), so not a manifest",
        f"{tmp_path}/empty: the folder holds no *.yaml file",
    )


def test_one_bad_document_does_not_hide_the_good_ones_before_it() -> None:
    reading = read_text("a: 1\n---\nb: [\n")
    assert [document.content for document in reading.documents] == [{"a": 1}]
    assert len(reading.problems) == 1
