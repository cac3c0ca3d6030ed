"""Whatever bytes come, and however they are cut: the server lives, and a good request is answered."""

import asyncio
import re
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.http import Connection, Site
from serving.limits import Limits
from serving.runtimes import OutputSpec, Signature
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec

BODY = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}]}'
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\nx-request-id: good\r\ncontent-length: %d\r\n" % len(BODY)
GOOD = HEAD + b"\r\n" + BODY
LAST = HEAD + b"connection: close\r\n\r\n" + BODY


class Sum:
    """Adds up each row."""

    signature = Signature("test", 2, (), InputSpec("x"), (OutputSpec("predict", "FP64", (-1,)),))

    def predict(self, rows, outputs):
        return {name: rows.sum(axis=1) for name in outputs}


@pytest.fixture(scope="module")
def port():
    limits = Limits(head_seconds=0.5, body_seconds=0.5, linger_seconds=0.2)
    server = ModelServer(ServerConfig("m", "v1", limits=limits, max_body_bytes=4_096), Sum())
    yield server.start()
    server.check()
    server.stop()


def exchange(port, data):
    """Send bytes, say that no more will come, and read what comes back until the connection ends."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        try:
            client.sendall(data)
            while part := client.recv(65536):
                received += part
        except ConnectionError:
            pass  # cut off: its right
    return received


PIECES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            GOOD,
            GOOD[:40],
            b"GET /v2 HTTP/1.1\r\n\r\n",
            b"\r\n",
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"content-length: 5\r\n",
            b"expect: 100-continue\r\n",
            b"CONNECT x:1 HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\n\r\n",
            b"GET /%ff%00 HTTP/1.1\r\n\r\n",
        ]
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=6))
def test_no_bytes_kill_the_server(port, pieces):
    # The last byte makes the parser give up on everything that is not complete, so that the server need not time out.
    received = exchange(port, b"".join(pieces) + b"\x00" * 5_000)
    assert all(part.startswith(b"HTTP/1.1 ") for part in [received[:9]] if part)
    answer = exchange(port, LAST)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'"data":[3.0]}]}')


class Transport:
    """Takes what a connection writes."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    def write_eof(self):
        pass

    def is_closing(self):
        return False

    pause_reading = resume_reading = close = abort = write_eof


def answers_to(chunks):
    """What a connection writes for these chunks when every request is answered at once, ids made alike."""
    loop = asyncio.new_event_loop()
    try:
        site = Site("v1", 4_096, Limits(), lambda exchange: exchange.answer(200, bytes(exchange.body)), loop)
        transport = Transport()
        connection = Connection(site)
        connection.connection_made(transport)
        for chunk in chunks:
            connection.data_received(chunk)
        return re.sub(rb"[0-9a-f]{32}", b"<id>", transport.written)
    finally:
        loop.close()


@settings(max_examples=150, deadline=None)
@given(requests=st.lists(PIECES, min_size=1, max_size=5), data=st.data())
def test_where_the_bytes_are_cut_makes_no_difference(requests, data):
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert answers_to(chunks) == answers_to([whole])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_answers_keep_the_order_of_requests_whatever_order_they_are_ready_in(sizes, random):
    loop = asyncio.new_event_loop()
    asked = []
    site = Site("v1", 4_096, Limits(), asked.append, loop)
    transport = Transport()
    connection = Connection(site)
    connection.connection_made(transport)
    for number, size in enumerate(sizes):
        head = b"POST / HTTP/1.1\r\nx-request-id: r%d\r\ncontent-length: %d\r\n\r\n" % (number, size)
        connection.data_received(head + b"x" * size)
    order = list(asked)
    random.shuffle(order)
    for one in order:
        one.answer(200, bytes(one.body))
    loop.close()
    assert re.findall(rb"x-request-id: r(\d+)", transport.written) == [b"%d" % number for number in range(len(sizes))]
    assert re.findall(rb"\r\n\r\n(x*)", transport.written) == [b"x" * size for size in sizes]
    assert site.in_flight == 0
