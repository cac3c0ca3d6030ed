"""Headers of requests, as far as models hear of them."""

import json
import socket

import httpx
import pytest
from serverkit import Echo, read_all

from serving.runtimes import Answer, OutputSpec, Signature, TensorSpec
from serving.spec import InputSpec

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}
URL = "/v2/models/iris/infer"


class Hears(Echo):
    """Answers with the headers that it gets."""

    def predict(self, tensors, outputs):
        return Answer(tensors.arrays, {"headers": dict(tensors.headers)})


class Shared(Hears):
    """The same, in calls that it shares with others."""

    signature = Signature(
        "test", None, (), InputSpec("x"), (OutputSpec("x", "INT64", (-1,)),), tensors=(TensorSpec("x", "INT64", (-1,)),)
    )


@pytest.fixture
def client(serve, make_client) -> httpx.Client:
    return make_client(serve(Hears())[1])


def test_a_model_that_takes_requests_whole_hears_their_headers_by_lower_case_names(client):
    answer = client.post(URL, json=BODY, headers={"X-User": "anna", "Authorization": "Bearer x"})
    headers = answer.json()["parameters"]["headers"]
    assert (headers["x-user"], headers["authorization"], headers["content-type"]) == (
        "anna",
        "Bearer x",
        "application/json",
    )


def test_a_request_hears_nothing_of_the_one_before_it(client):
    client.post(URL, json=BODY, headers={"x-user": "anna"})
    assert "x-user" not in client.post(URL, json=BODY).json()["parameters"]["headers"]


def test_values_that_are_no_utf_8_are_taken_byte_by_byte_and_trailers_are_no_headers(serve):
    server, _ = serve(Hears())
    body = json.dumps(BODY).encode()
    head = f"POST {URL} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n".encode()
    chunks = b"x-user: \xff\r\n\r\n%x\r\n%b\r\n0\r\nx-late: 1\r\n\r\n" % (len(body), body)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + chunks)
        answer = read_all(connection)
    headers = json.loads(answer.partition(b"\r\n\r\n")[2])["parameters"]["headers"]
    assert headers["x-user"] == "ÿ"
    assert "x-late" not in headers


def test_a_model_whose_calls_are_shared_hears_none(serve, make_client):
    client = make_client(serve(Shared())[1])
    assert client.post(URL, json=BODY, headers={"x-user": "anna"}).json()["parameters"] == {"headers": {}}
