"""The credit example as it is shipped: its own paths, what they refuse, and version 2 let in while they are used."""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from stackkit import DEADLINE, TIDEGATE, Stack

from benchmarks.client import post, steady
from tests.pages import Reader, commands

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "examples-credit.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)}
APPLICANT = {
    "income": 52_000,
    "age": 34,
    "credit_history": 0.9,
    "loan_amount": 12_000,
    "employment_years": 5,
}
FIELDS = {
    "approved": bool,
    "credit_score": int,
    "confidence": float,
    "recommendation": str,
    "timestamp": str,
    "model_version": str,
}
PREDICT = "/api/v1/predict"


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Callable[[str], None]]:
    """Runs the commands below one title of the example's page, and compares what they print."""
    path = os.pathsep.join([str(TIDEGATE.parent), os.environ["PATH"]])
    reader = Reader(stack.environment | {"PATH": path})

    def run(title: str) -> None:
        for command in commands(SECTIONS[title].replace(":8080/", f":{stack.port}/")):
            reader.run(command)

    with chdir(ROOT):
        yield run


@pytest.fixture(scope="module")
def credit(stack: Stack, page: Callable[[str], None]) -> Iterator[Stack]:
    """The first version, answering."""
    page("The credit example")
    yield stack
    stack.cli("delete", "credit")


def client(stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", trust_env=False, timeout=60)


def shape(answer: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in answer.items()}


def test_the_page_of_the_example_shows_what_it_answers(credit: Stack, page: Callable[[str], None]) -> None:
    page("Ask")


def test_a_decision_has_the_declared_fields(credit: Stack) -> None:
    with client(credit) as http:
        one = http.post(PREDICT, json=APPLICANT)
        assert (one.status_code, shape(one.json())) == (200, FIELDS)
        assert one.json()["model_version"] == one.headers["tidegate-version"]
        poor = APPLICANT | {"loan_amount": 90_000, "employment_years": 0, "credit_history": 0.2}
        several = http.post(PREDICT, json={"instances": [APPLICANT, poor]}).json()
    assert [each["approved"] for each in several["predictions"]] == [True, False]
    assert several["predictions"][0]["credit_score"] > several["predictions"][1]["credit_score"]


def test_the_model_says_how_and_what_it_is(credit: Stack) -> None:
    version = credit.status("credit")["stable"]["id"]
    with client(credit) as http:
        health = http.get("/api/v1/health").raise_for_status().json()
        about = http.get("/api/v1/model-info").raise_for_status().json()
    assert health == {"status": "healthy", "model_loaded": True, "name": "credit", "version": version}
    assert (about["name"], about["version"], about["runtime"]) == ("credit", version, "python")
    assert [each["name"] for each in about["features"]] == list(APPLICANT)
    assert [each["name"] for each in about["outputs"]] == list(FIELDS)[:-1]
    assert 0.7 < about["metrics"]["accuracy"] < 0.8


def test_a_request_that_does_not_fit_is_told_which_row_and_field(credit: Stack) -> None:
    with client(credit) as http:
        text = http.post(PREDICT, json=APPLICANT | {"age": "thirty"})
        second = http.post(PREDICT, json={"instances": [APPLICANT, APPLICANT | {"income": None}]})
        without = http.post(PREDICT, json={name: APPLICANT[name] for name in ("income", "age")})
        wrong = http.get(PREDICT)
    assert (text.status_code, text.json()["code"]) == (400, "invalid_datatype")
    assert "age" in text.json()["error"]
    assert (second.status_code, without.status_code) == (400, 400)
    assert "instances[1]" in second.json()["error"]
    assert "income" in second.json()["error"]
    assert "credit_history, loan_amount, employment_years missing" in without.json()["error"]
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_all_that_is_wrong_with_a_batch_is_said_at_once(credit: Stack) -> None:
    rows = [APPLICANT, APPLICANT | {"age": 12}, APPLICANT | {"credit_history": 1.5, "income": -1}]
    with client(credit) as http:
        refused = http.post(PREDICT, json={"instances": rows})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    assert {(each["row"], each["field"]) for each in refused.json()["details"]} == {
        (1, "age"),
        (2, "credit_history"),
        (2, "income"),
    }


def test_the_openapi_page_describes_the_short_path_and_every_answer_fits_it(credit: Stack) -> None:
    with client(credit) as http:
        described = http.get("/api/v1/openapi.json").raise_for_status().json()
        docs = http.get("/api/v1/docs").raise_for_status()
        long = http.get("/api/v1/models/credit/openapi.json").raise_for_status().json()
        answer = http.post(PREDICT, json=APPLICANT).json()
    assert list(described["paths"]) == [PREDICT]
    assert list(long["paths"]) == ["/api/v1/models/credit/predict"]
    schemas = described["components"]["schemas"]
    assert list(schemas["Row"]["properties"]) == list(APPLICANT)
    assert schemas["Row"]["properties"]["age"]["minimum"] == 18
    assert list(schemas["Prediction"]["properties"]) == list(FIELDS) == list(answer)
    assert docs.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<form action="{PREDICT}">' in docs.text


def test_a_decision_is_recorded_and_can_be_told_how_it_turned_out(credit: Stack) -> None:
    with client(credit) as http:
        http.post(PREDICT, json=APPLICANT, headers={"x-request-id": "loan-1"}).raise_for_status()
    deadline = time.monotonic() + DEADLINE
    while "unknown 0" not in credit.cli("feedback", "credit", "loan-1", "--label", "true").stdout:
        assert time.monotonic() < deadline, "the record has not come to the monitor"


def test_a_younger_rollout_cannot_have_a_path_that_is_taken(credit: Stack) -> None:
    manifest = credit.manifest("loans", "iris-1", traffic={"paths": {"predict": PREDICT}})
    credit.cli("apply", "-f", str(manifest))
    status = credit.until("loans", lambda status: bool(status.get("conditions")))
    accepted = next(each for each in status["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "RouteConflict")
    assert f"path {PREDICT} on host * belongs to default/credit" in accepted["message"]
    credit.cli("delete", "loans")


async def test_version_2_takes_over_while_its_paths_are_used(credit: Stack, page: Callable[[str], None]) -> None:
    first = credit.status("credit")["stable"]["id"]
    bodies = [post(PREDICT, orjson.dumps(APPLICANT | {"age": age})) for age in range(20, 70)]
    async with steady(credit.port, cycle(bodies), connections=8, pace=0.01) as load:
        await asyncio.to_thread(page, "Version 2")
    second = credit.status("credit")["stable"]["id"]
    assert second != first
    assert set(load.tally.versions) == {first, second}
    assert load.tally.failed == 0, load.tally.failures
