"""What nobody sends by accident, whatever the database: it is taken or refused in words."""

import json

import pytest
from monitorkit import NOON, Sender, api, record

from monitor.store.service import Store

RECORDS = "/internal/v1/records"
EVENTS = "/internal/v1/events"
FEEDBACK = "/api/v1/models/iris/feedback"
ROUTED = {"tidegate-route": "default/iris"}
OF = "namespace=default&model=iris"


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


TAKEN = [
    r'"a\u0000b"',
    r'{"\u0000": 1}',
    r'"\ufffe"',
    r'"\ud834\udd1e"',
    "[NaN, -Infinity, 1e400]",
    "18446744073709551615",
    "-9223372036854775808",
    "1.7976931348623157e308",
    '{"a": 1, "a": 2}',
    nested(152),
]
REFUSED = {
    "18446744073709551616": "Integer exceeds 64-bit range",
    "1" + "0" * 400: "Integer exceeds 64-bit range",
    r'"\ud800"': "str is not valid UTF-8: surrogates not allowed",
    r'{"\ud800": 1}': "str is not valid UTF-8: surrogates not allowed",
    nested(155): "Recursion limit reached",
    nested(255): "Recursion limit reached",
    '{"a":' * 155 + "1" + "}" * 155: "Recursion limit reached",
}
QUESTIONS = {
    f"tallies?{OF}&since=0": {
        "since": ["nan", "inf", "-1", "1e12", "", "%00"],
        "until": ["nan"],
        "model": ["%00", "%ff", "", "a" * 254],
    },
    f"exposures?{OF}": {"limit": ["0", "10001", "1e3"], "after": ["-1", str(2**63)]},
    f"evidence?{OF}&since=0&stable=v1&candidate=v2&metric=feature-drift": {
        "tolerance": ["nan", "-0.1", "1.1"],
        "metric": ["", "all"],
        "stable": ["%00"],
    },
    f"compare?{OF}": {"since": ["nan"], "until": ["-inf"], "candidate": ["a%20b"]},
    f"performance?{OF}": {"bucket": ["0m", "10000d", "1s", "1h%00", "", "-1h", "٣h"], "since": ["nan"]},
    f"drift?{OF}": {"window": ["0", "100000", "nan"], "version": ["%ff"]},
    f"sample?{OF}": {"window": ["0", "100000"]},
    f"events?{OF}": {"kind": ["nothing"], "limit": ["0"], "after": [str(2**63)]},
    f"records/%00?{OF}": {"x": [""]},
    f"records/a%00b?{OF}": {"x": [""]},
}


def with_value(document: object, text: str) -> str:
    """The document as JSON, with this text in the place of `@`."""
    return json.dumps(document).replace('"@"', text)


def bodies(text: str, name: str = "1") -> dict[str, tuple[str, str]]:
    """A value wherever any JSON may be, by the part of the request that it is in: the path and the body."""
    batch = Sender(replica=name).document(record(name))
    columns = {"inputs": {"x": ["@"]}, "outputs": {"predict": ["@"]}}
    event = {"key": "k", "namespace": "a", "model": "b", "kind": "drift", "severity": "info", "at": NOON, "title": "t"}
    return {
        "label: ": (FEEDBACK, with_value({"request_id": name, "label": ["@"]}, text)),
        "blocks.0.": (RECORDS, with_value(batch | {"blocks": [batch["blocks"][0] | columns]}, text)),
        "0: ": (EVENTS, with_value([event | {"details": {"x": "@"}}], text)),
    }


class HostileCases:
    @pytest.mark.parametrize("text", TAKEN, ids=lambda text: text[:30])
    async def test_unusual_values_are_stored_and_come_back(self, store: Store, text: str) -> None:
        async with api(store) as client:
            for path, body in bodies(text).values():
                for _ in range(2):  # the same again changes nothing
                    assert (await client.post(path, content=body, headers=ROUTED)).status_code in (200, 202)
            known = (await client.get(f"/internal/v1/records/1?{OF}")).json()
            events = (await client.get(EVENTS)).json()["events"]
            expected = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
            assert [(one["inputs"], one["outputs"]) for one in known["records"]] == [
                ({"x": [expected]}, {"predict": [expected]})
            ]
            assert known["feedback"]["label"] == [expected]
            assert [event["details"] for event in events] == [{"x": expected}]

    async def test_values_that_cannot_be_kept_are_refused_in_words(self, store: Store) -> None:
        async with api(store) as client:
            for text, reason in REFUSED.items():
                for part, (path, body) in bodies(text).items():
                    answer = await client.post(path, content=body, headers=ROUTED)
                    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
                    assert answer.json()["error"].startswith(part)
                    assert f"cannot be kept: {reason}" in answer.json()["error"]

    async def test_questions_that_make_no_sense_are_answered_in_words(self, store: Store) -> None:
        async with api(store) as client:
            for path, given in QUESTIONS.items():
                for name, value in ((name, value) for name, values in given.items() for value in values):
                    answer = await client.get(f"/internal/v1/{path}&{name}={value}")  # of several the last one counts
                    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), (path, name, value)

    async def test_feedback_for_what_is_no_name_is_refused(self, store: Store) -> None:
        async with api(store) as client:
            for namespace in ("a b", "é", "x" * 254, "\x7f"):
                headers = {"tidegate-route": f"{namespace}/iris".encode()}
                answer = await client.post(FEEDBACK, json={"request_id": "1", "reward": 1}, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (400, "no_route")


def _finite(text: str) -> float | None:
    number = float(text)
    return None if number in (float("inf"), float("-inf")) else number
