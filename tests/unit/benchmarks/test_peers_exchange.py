"""How contenders are asked, and what counts as a right answer."""

import json

import pytest

from benchmarks.client import Answer
from benchmarks.peers.exchange import SELDON, V2, Exchange, UnreadableAnswer
from benchmarks.peers.running import WrongAnswer, compare

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]]


def answer(body: bytes, status: int = 200) -> Answer:
    return Answer(3, status, "", 0.001, body)


def v2_body(labels: list[int]) -> bytes:
    return json.dumps({"outputs": [{"name": "predict", "datatype": "INT64", "data": labels}]}).encode()


@pytest.mark.parametrize("exchange", [V2, SELDON])
def test_a_request_is_a_post_of_json_to_the_protocols_path(exchange: Exchange) -> None:
    head, _, body = exchange.request(ROWS).partition(b"\r\n\r\n")
    assert head.startswith(f"POST {exchange.path} HTTP/1.1\r\n".encode())
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body) == json.loads(exchange.body(ROWS))


def test_v2_asks_with_one_tensor_of_all_rows() -> None:
    (tensor,) = json.loads(V2.body(ROWS))["inputs"]
    assert (tensor["shape"], tensor["datatype"], tensor["data"]) == ([2, 4], "FP64", ROWS[0] + ROWS[1])


def test_seldon_asks_with_the_rows_as_they_are() -> None:
    assert json.loads(SELDON.body(ROWS)) == {"data": {"ndarray": ROWS}}


@pytest.mark.parametrize(
    ("exchange", "body"), [(V2, v2_body([0, 2])), (SELDON, b'{"data":{"names":[],"ndarray":[0,2]},"meta":{}}')]
)
def test_the_labels_of_an_answer_are_read(exchange: Exchange, body: bytes) -> None:
    assert exchange.labels(body) == [0, 2]


@pytest.mark.parametrize("exchange", [V2, SELDON])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"outputs": [], "data": 1}', b'{"data": {"ndarray": ["x"]}}']
)
def test_what_is_no_answer_of_the_protocol_is_named(exchange: Exchange, body: bytes) -> None:
    with pytest.raises(UnreadableAnswer, match=r"Error: .*, in b"):
        exchange.labels(body)


def test_the_models_own_labels_are_a_right_answer() -> None:
    compare("peer", V2, answer(v2_body([0, 2])), [0, 2])


def test_other_labels_are_a_wrong_answer() -> None:
    with pytest.raises(WrongAnswer, match=r"peer answered request 3 with \[0, 1\]; the model says \[0, 2\]"):
        compare("peer", V2, answer(v2_body([0, 1])), [0, 2])


def test_too_few_labels_are_a_wrong_answer() -> None:
    with pytest.raises(WrongAnswer, match=r"the model says \[0, 2\]"):
        compare("peer", V2, answer(v2_body([0])), [0, 2])


def test_an_error_is_a_wrong_answer_even_with_the_right_labels() -> None:
    with pytest.raises(WrongAnswer, match="peer answered request 3 with 500"):
        compare("peer", V2, answer(v2_body([0, 2]), status=500), [0, 2])


def test_something_unreadable_is_a_wrong_answer() -> None:
    with pytest.raises(WrongAnswer, match="unreadably: JSONDecodeError"):
        compare("peer", V2, answer(b"oops"), [0, 2])
