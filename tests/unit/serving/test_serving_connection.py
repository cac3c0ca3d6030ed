"""One HTTP connection, byte by byte: order, limits and ends. A transport that remembers stands for the socket."""

import json
import re

import pytest

from serving.errors import RequestError
from serving.http import CONTINUE, Connection, Exchange, Site
from serving.limits import Limits

LIMITS = Limits(head_bytes=2_000, headers=20, url_bytes=200, pipelined=4)


class Transport:
    """Remembers what was written and done."""

    def __init__(self):
        self.written = b""
        self.reading = True
        self.unsent = 0
        self.ended = self.closed = self.aborted = False

    def write(self, data):
        assert not self.ended
        self.written += data

    def write_eof(self):
        self.ended = True

    def get_write_buffer_size(self):
        return self.unsent

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_closing(self):
        return self.closed or self.aborted

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True


class Clock:
    """The part of an event loop that a connection uses."""

    now = 100.0

    def time(self):
        return self.now


class Client:
    """A connection with a fake client at its other end; requests wait in `asked` until the test answers them."""

    def __init__(self, limits=LIMITS, body_bytes=1_000):
        self.asked: list[Exchange] = []
        self.clock = Clock()
        self.site = Site("v7", body_bytes, limits, self.asked.append, self.clock)
        self.transport = Transport()
        self.connection = Connection(self.site)
        self.connection.connection_made(self.transport)

    def send(self, data):
        self.connection.data_received(data)

    def wait(self, seconds):
        self.clock.now += seconds
        self.site.sweep()

    @property
    def statuses(self):
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", self.transport.written)]


@pytest.fixture
def client():
    return Client()


def get(path="/", headers=""):
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode()


def post(body, headers=""):
    return f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def test_an_answer_is_one_write_with_all_its_headers(client):
    client.send(get("/a?b", "X-Request-ID: abc-1\r\n"))
    exchange = client.asked[0]
    assert (exchange.method, exchange.url, exchange.request_id) == (b"GET", b"/a?b", b"abc-1")
    exchange.answer(200, b"{}")
    assert client.transport.written == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntidegate-version: v7\r\nx-request-id: abc-1\r\n"
        b"content-length: 2\r\n\r\n{}"
    )
    assert not client.transport.ended


@pytest.mark.parametrize(
    ("given", "text"),
    [(b'a\t"b"', 'a\t"b"'), (b"x" * 300, "x" * 300), ("é".encode(), "é"), (b"\xff\xfe", "ÿþ")],
    ids=["blanks and quotes", "long", "UTF-8", "no UTF-8"],
)
def test_any_request_id_is_kept_in_head_and_body(client, given, text):
    client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-request-id: " + given + b"\r\n\r\n")
    client.asked[0].fail(RequestError(400, "wrong", "wrong"))
    head, _, body = bytes(client.transport.written).partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: " + given + b"\r\n" in head
    assert json.loads(body)["request_id"] == text


@pytest.mark.parametrize("headers", ["", "x-request-id:\r\n", "x-request-id:  \r\n"])
def test_a_request_without_an_id_gets_one(client, headers):
    client.send(get(headers=headers))
    assert re.fullmatch(rb"[0-9a-f]{32}", client.asked[0].request_id)


def test_a_request_may_come_one_byte_at_a_time(client):
    for byte in post(b"12345"):
        client.send(bytes([byte]))
    assert [bytes(exchange.body) for exchange in client.asked] == [b"12345"]


def test_a_chunked_body_is_put_together(client):
    client.send(
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-request-id: no\r\n\r\n"
    )
    assert (bytes(client.asked[0].body), client.asked[0].request_id == b"no") == (b"abcde", False)


def test_pipelined_answers_keep_the_order_of_the_requests(client):
    client.send(get("/1") + get("/2") + get("/3"))
    first, second, third = client.asked
    third.answer(203, b"3")
    second.answer(202, b"2")
    assert client.transport.written == b""
    first.answer(200, b"1")
    assert client.statuses == [200, 202, 203]


def test_answers_that_waited_for_an_earlier_one_are_put_together_at_once(client):
    class Reply(bytes):
        def __radd__(self, other):
            raise AssertionError("all answers before it are copied once more")

    client.send(get() * 4)
    for exchange in client.asked[1:]:
        exchange.answer(200, b"{}")
        exchange.reply = Reply(exchange.reply)
    client.asked[0].answer(200, b"{}")
    assert client.statuses == [200] * 4


def test_head_gets_the_head_only(client):
    client.send(b"HEAD / HTTP/1.1\r\n\r\n")
    client.asked[0].answer(200, b"12345")
    assert client.transport.written.endswith(b"content-length: 5\r\n\r\n")


@pytest.mark.parametrize("head", ["HTTP/1.0\r\n", "HTTP/1.1\r\nconnection: close\r\n"])
def test_a_client_that_wants_no_more_gets_its_answer_and_the_end(client, head):
    client.send(f"GET / {head}\r\n".encode())
    client.asked[0].answer(200, b"{}")
    assert b"connection: close\r\n" in client.transport.written
    assert client.transport.ended


def test_what_comes_after_the_last_request_is_thrown_away(client):
    client.send(get(headers="connection: close\r\n") + get())
    client.send(get())
    client.asked[0].answer(200, b"{}")
    client.send(b"\x00garbage")
    assert (len(client.asked), client.statuses) == (1, [200])


def test_a_closing_connection_lingers_for_a_while_only(client):
    client.send(get(headers="connection: close\r\n"))
    client.asked[0].answer(200, b"{}")
    client.wait(LIMITS.linger_seconds - 0.1)
    assert not client.transport.aborted
    client.wait(0.2)
    assert client.transport.aborted


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00 TLS", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"FROB / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413),
        (get("/" + "x" * 201), 414),
        (get(headers="content-encoding: gzip\r\n"), 415),
        (get(headers="expect: the-unexpected\r\n"), 417),
        (get(headers="a: b\r\n" * 20), 431),
        (get(headers=f"a: {'b' * 2_001}\r\n"), 431),
        (b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", 501),
    ],
)
def test_what_cannot_be_served_is_answered_once_and_ends_the_connection(client, data, status):
    client.send(data)
    client.asked.clear()
    client.send(get())
    assert client.statuses == [status]
    assert client.transport.ended
    assert client.asked == []
    assert b'"code":"' in client.transport.written


@pytest.mark.parametrize(
    "header", ["content-encoding: gzip", "expect: the-unexpected", "connection: upgrade\r\nupgrade: x"]
)
def test_a_refused_head_is_answered_with_its_own_request_id_wherever_that_stands(client, header):
    client.send(get(headers=f"{header}\r\nx-request-id: mine\r\n"))
    assert b"x-request-id: mine\r\n" in client.transport.written
    assert b'"request_id":"mine"' in client.transport.written


def test_an_endless_header_is_refused_before_it_ends(client):
    client.send(b"GET / HTTP/1.1\r\na: ")
    for _ in range(5):
        client.send(b"b" * 500)
    assert client.statuses == [431]


def test_a_large_body_in_the_read_that_ends_a_head_is_no_large_head():
    client = Client(body_bytes=100_000)
    request = post(b"x" * 50_000)
    client.send(request[:10])
    client.send(request[10:])
    assert len(client.asked) == 1


def test_a_refusal_waits_for_the_answers_before_it(client):
    client.send(get("/1") + b"garbage\r\n\r\n")
    assert client.transport.written == b""
    client.asked[0].answer(200, b"{}")
    assert client.statuses == [200, 400]


def test_continue_is_said_once_before_the_body(client):
    request = post(b"12345", "expect: 100-continue\r\n")
    client.send(request[:-5])
    assert client.transport.written == CONTINUE
    client.send(request[-5:])
    client.asked[0].answer(200, b"{}")
    assert client.statuses == [100, 200]


def test_continue_waits_for_the_answers_before_it(client):
    client.send(get("/1") + post(b"12345", "expect: 100-continue\r\n")[:-5])
    assert client.transport.written == b""
    client.asked[0].answer(200, b"{}")
    assert client.statuses == [200, 100]


def test_continue_is_not_said_for_a_body_that_will_be_refused(client):
    client.send(post(b"x" * 1001, "expect: 100-continue\r\n")[:-1001])
    assert client.statuses == [413]


def test_reading_stops_while_too_many_requests_wait(client):
    client.send(get() * 4)
    assert not client.transport.reading
    client.asked[0].answer(200, b"{}")
    assert client.transport.reading


def test_reading_stops_while_the_client_takes_no_answers(client):
    client.connection.pause_writing()
    assert not client.transport.reading
    client.connection.resume_writing()
    assert client.transport.reading


def test_a_client_that_takes_no_answers_for_long_is_cut_off(client):
    client.connection.pause_writing()
    client.wait(LIMITS.write_seconds - 1)
    assert not client.transport.aborted
    client.wait(2)
    assert client.transport.aborted


@pytest.mark.parametrize(("part", "seconds"), [("head", LIMITS.head_seconds), ("body", LIMITS.body_seconds)])
def test_a_slow_client_gets_408_however_steadily_it_drips(client, part, seconds):
    data = post(b"x" * 900)
    client.send(data[:1] if part == "head" else data[:-900])
    for _ in range(9):
        client.wait(seconds / 10)
        client.send(data[1:2] if part == "head" else b"x")
        data = data[:1] + data[2:]
    assert client.statuses == []
    client.wait(seconds / 5)
    assert client.statuses == [408]
    assert f"the request's {part} took over".encode() in client.transport.written
    assert client.transport.ended


def test_an_idle_connection_is_closed_and_a_waiting_one_is_not(client):
    client.send(get())
    client.wait(LIMITS.idle_seconds + 1)
    assert not client.transport.closed
    client.asked[0].answer(200, b"{}")
    client.wait(LIMITS.idle_seconds + 1)
    assert client.transport.closed
    assert client.statuses == [200]


def test_a_lost_client_is_told_to_those_who_work_for_it(client):
    cancelled = []
    client.send(get("/1") + get("/2"))
    for exchange in client.asked:
        exchange.cancel = lambda exchange=exchange: cancelled.append(exchange.url)
    client.asked[1].answer(200, b"{}")
    client.connection.connection_lost(None)
    client.asked[0].answer(200, b"{}")
    assert (cancelled, client.site.in_flight, client.transport.written) == ([b"/1"], 0, b"")
    assert client.site.connections == set()


def test_half_a_request_and_then_nothing_leaves_nothing_behind(client):
    client.send(post(b"12345")[:-3])
    assert client.site.busy()
    client.connection.connection_lost(ConnectionResetError())
    assert not client.site.busy()
    assert client.asked == []


def test_an_answer_to_a_client_that_is_just_leaving_is_dropped(client):
    client.send(get(headers="connection: close\r\n"))
    client.transport.close()
    client.asked[0].answer(200, b"{}")
    assert client.transport.written == b""


def test_an_answer_that_is_not_sent_in_full_keeps_the_site_busy(client):
    client.send(get())
    client.asked[0].answer(200, b"{}")
    assert not client.site.busy()
    client.transport.unsent = 1
    assert client.site.busy()


def test_while_draining_the_last_answer_closes_and_earlier_ones_do_not(client):
    client.send(get("/1") + get("/2"))
    client.site.draining = True
    for exchange in client.asked:
        exchange.answer(200, b"{}")
    assert client.transport.written.count(b"connection: close") == 1
    assert client.transport.ended


def test_while_draining_a_request_that_is_arriving_is_still_answered(client):
    client.send(get("/1") + b"GET /2")
    client.site.draining = True
    client.asked[0].answer(200, b"{}")
    client.send(b" HTTP/1.1\r\n\r\n")
    client.asked[1].answer(200, b"{}")
    assert client.statuses == [200, 200]
    assert client.transport.ended


def test_a_bug_in_a_handler_is_answered_and_logged(client, caplog):
    def broken(exchange):
        raise RuntimeError("a bug")

    client.site.handle = broken
    client.send(get())
    assert "a bug" in caplog.text
    assert client.statuses == [500]
    assert b'"internal_error"' in client.transport.written


def test_a_request_that_a_handler_refuses_does_not_end_the_connection(client):
    def refuse(exchange):
        raise RequestError(404, "not_found", "no")

    client.site.handle = refuse
    client.send(get())
    client.send(get())
    assert client.statuses == [404, 404]
    assert not client.transport.ended


def test_errors_have_one_form_and_bounded_length(client):
    client.send(get(headers="x-request-id: abc\r\n"))
    client.asked[0].fail(RequestError(503, "queue_full", "\ud800" + "x" * 5_000, b"retry-after: 1\r\n"))
    written = client.transport.written
    assert written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 1\r\n" in written
    assert written.endswith(b'","code":"queue_full","request_id":"abc"}')
    assert len(written) < 2_500
