"""feedback: what reaches the router, and what is said of its answers."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cli_kit import fails, live, manifest, tidegate, works
from stub_web import Answers, Asked, StubWeb, stub_web

from operators.local.home import Home

Serve = Callable[[Answers], StubWeb]


@pytest.fixture
def serve(home: Home, folder: Path) -> Iterator[Serve]:
    """A router in the place of the one that `tidegate up` starts, for a rollout that is live."""
    live(home, folder)
    with ExitStack() as stack:

        def make(answer: Answers) -> StubWeb:
            web = stack.enter_context(stub_web(answer))
            home.stack_file.parent.mkdir(parents=True, exist_ok=True)
            home.stack_file.write_text(json.dumps({"pid": 1, "port": web.port}))
            return web

        yield make


def takes(asked: Asked) -> tuple[int, Any]:
    return 202, {"accepted": len(asked.body["items"]), "unknown": 0}


def disputes(*names: str) -> Answers:
    """Something else is known about these requests."""

    def answer(asked: Asked) -> tuple[int, Any]:
        if any(item["request_id"] in names for item in asked.body["items"]):
            return 409, {"error": "another label is known"}
        return takes(asked)

    return answer


def lines(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps({"request_id": f"r{one}", "label": one}) + "\n" for one in range(count)))
    return path


def test_one_label_goes_to_the_models_own_path(serve: Serve) -> None:
    web = serve(takes)
    assert works("feedback", "iris", "r1", "--label", '"setosa"') == "accepted 1, unknown 0, conflicts 0\n"
    assert web.asked[-1].path == "/api/v1/models/iris/feedback"
    assert web.asked[-1].body == {"items": [{"request_id": "r1", "label": "setosa"}], "replace": False}
    works("feedback", "iris", "r1", "--label", "setosa", "--reward", "-0.5", "--replace")
    assert web.asked[-1].body == {"items": [{"request_id": "r1", "label": "setosa", "reward": -0.5}], "replace": True}


def test_the_models_host_is_asked_for(serve: Serve, folder: Path) -> None:
    web = serve(takes)
    hosted = manifest("digits", "./models/digits-1", traffic={"hosts": ["digits.example.org"]})
    works("apply", "-f", "-", text=hosted.replace("./models", str(folder / "models")))
    works("feedback", "digits", "r1", "--reward", "1")
    assert web.asked[-1].headers["host"] == "digits.example.org"


def test_a_file_is_sent_in_batches_and_summed_up(serve: Serve, tmp_path: Path) -> None:
    web = serve(lambda asked: (202, {"accepted": len(asked.body["items"]), "unknown": 1}))
    path = lines(tmp_path / "said.jsonl", 2_500)
    assert works("feedback", "iris", "--file", path) == "accepted 2,500, unknown 3, conflicts 0\n"
    assert [len(asked.body["items"]) for asked in web.asked] == [1_000, 1_000, 500]
    assert works("feedback", "iris", "--file", path, "--skip", 2_499) == "accepted 1, unknown 1, conflicts 0\n"
    assert web.asked[-1].body["items"] == [{"request_id": "r2499", "label": 2499}]
    assert works("feedback", "iris", "--file", "-", text=path.read_text()).startswith("accepted 2,500")


def test_what_contradicts_is_named_and_everything_else_is_taken(serve: Serve, tmp_path: Path) -> None:
    serve(disputes("r3", "r700"))
    result = tidegate("feedback", "iris", "--file", lines(tmp_path / "said.jsonl", 1_100))
    assert result.exit_code == 1
    assert result.stdout == "accepted 1,098, unknown 0, conflicts 2\n"
    assert result.stderr == (
        "conflict: r3\nconflict: r700\nerror: 2 were not taken: something else was said about these requests before\n"
        "leave them out, or say --replace\n"
    )


def test_a_monitor_that_is_away_for_a_moment_is_asked_again(serve: Serve) -> None:
    answers = [(503, {"error": "the monitor's database cannot be used right now"})] * 2
    web = serve(lambda asked: answers.pop() if answers else takes(asked))
    works("feedback", "iris", "r1", "--label", "1")
    assert len(web.asked) == 3


def test_what_stops_in_the_middle_says_how_to_go_on(serve: Serve, tmp_path: Path) -> None:
    path = lines(tmp_path / "said.jsonl", 1_500)
    serve(lambda asked: takes(asked) if len(asked.body["items"]) == 1_000 else (503, "no healthy upstream"))
    result = tidegate("feedback", "iris", "--file", path)
    assert (result.exit_code, result.stdout) == (1, "accepted 1,000, unknown 0, conflicts 0\n")
    assert result.stderr == ("error: the feedback was answered 503: no healthy upstream\ngo on with: --skip 1000\n")


def test_csv_has_labels_that_are_json_or_text(serve: Serve, tmp_path: Path) -> None:
    web = serve(takes)
    path = tmp_path / "said.CSV"
    path.write_text('﻿request_id,label,reward,note\nr1,2,,x\nr2,setosa,1.5,\nr3,"[1, 2]",,\nr4,,0,\n')
    works("feedback", "iris", "--file", path)
    assert web.asked[-1].body["items"] == [
        {"request_id": "r1", "label": 2},
        {"request_id": "r2", "label": "setosa", "reward": 1.5},
        {"request_id": "r3", "label": [1, 2]},
        {"request_id": "r4", "reward": 0.0},
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"request_id": "r", "label": 1}\n{"request', "a.jsonl:2: is no JSON: "),
        ("a.jsonl", "[]\n", "a.jsonl:1: an object with request_id"),
        ("a.jsonl", '\n{"label": 1}\n', "a.jsonl:2: request_id is missing"),
        ("a.jsonl", '{"request_id": "r", "label": null}\n', "a.jsonl:1: a label or a reward is missing; null is none"),
        ("a.jsonl", '{"request_id": "r", "reward": true}\n', "a.jsonl:1: the reward must be a finite number"),
        ("a.jsonl", '{"request_id": "r", "reward": NaN}\n', "a.jsonl:1: is no JSON: "),
        ("a.jsonl", '{"request_id": "r", "label": [1e999]}\n', "a.jsonl:1: is no JSON: "),
        ("a.csv", "request_id,reward\nr,inf\n", "a.csv:2: the reward must be a finite number"),
        ("a.csv", "id,label\n1,2\n", "a.csv:1: the first line must name the columns, request_id among them"),
        ("a.csv", "request_id,reward\nr,much\n", "a.csv:2: the reward 'much' is no number"),
        ("a.csv", "request_id,reward\nr,\n", "a.csv:2: a label or a reward is missing"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_its_batch_is_not_sent(
    serve: Serve, tmp_path: Path, name: str, content: str, said: str
) -> None:
    web = serve(takes)
    (tmp_path / name).write_text(content)
    assert said in fails("feedback", "iris", "--file", tmp_path / name)
    assert web.asked == []


def test_a_command_that_says_nothing_or_too_much_is_refused(serve: Serve, tmp_path: Path) -> None:
    path = lines(tmp_path / "said.jsonl", 1)
    web = serve(takes)
    for arguments in (
        ["iris"],
        ["iris", "r1"],
        ["iris", "r1", "--file", path],
        ["iris", "--file", path, "--label", "1"],
    ):
        assert tidegate("feedback", *arguments).exit_code == 2
    (tmp_path / "latin.jsonl").write_bytes(b'{"request_id": "\xe4"}')
    assert "latin.jsonl cannot be read: 'utf-8' codec" in fails("feedback", "iris", "--file", tmp_path / "latin.jsonl")
    assert "absent cannot be read: No such file" in fails("feedback", "iris", "--file", tmp_path / "absent")
    assert "the reward must be a finite number" in fails("feedback", "iris", "r1", "--reward", "nan")
    assert web.asked == []


def test_a_router_that_does_not_run_is_told(serve: Serve, home: Home) -> None:
    assert fails("feedback", "iris", "r1", "--label", "1") == (
        "error: nothing is running here\nstart it: tidegate up\n"
    )
    home.stack_file.parent.mkdir(parents=True)
    home.stack_file.write_text("")  # as a stack that ended leaves it
    assert "nothing is running here" in fails("feedback", "iris", "r1", "--label", "1")
    with stub_web(takes) as gone:
        pass
    said = fails("feedback", "iris", "r1", "--label", "1", "--url", gone.url)
    assert said.startswith(f"error: {gone.url} cannot be reached: ")
