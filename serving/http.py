"""HTTP/1.1 as a replica speaks it: keep-alive and pipelining, with a bound on everything a client may send or withhold.

llhttp (through httptools) parses; this file keeps the order of answers and the limits. It does not send `date`:
Envoy, in front of every replica, does.
"""

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import cast
from uuid import uuid4

import httptools

from serving.errors import RequestError
from serving.exchange import JSON_BYTES_HEADER, KEY_HEADER, MIRROR_HEADER, SHARE_HEADER, Exchange, header_text
from serving.limits import body_too_large, internal_error, no_upgrade
from serving.site import Site

_KEPT = {
    MIRROR_HEADER: "_mirror",
    KEY_HEADER: "_key",
    SHARE_HEADER: "_share",
    JSON_BYTES_HEADER: "_json_bytes",
}
"""Headers whose values are handed on as they came, and where they are kept until then."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One client's connection. The `on_…` methods are httptools' callbacks; raising in one ends the connection.

    A client that closes its side has gone: it gets no more answers, and what the model has not begun for it is dropped.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._limits = site.limits
        self._exchanges: deque[Exchange] = deque()
        """Requests whose answers have not been written, oldest first."""
        self._receiving = False
        """Whether a request has begun to arrive and is not yet complete."""
        self._closing = False
        """Whether what still arrives is thrown away, because the last answer is decided."""
        self._reading = True
        self._writable = True
        self._active = 0.0
        """When bytes last arrived."""
        self._clock = 0.0
        """Since when the client owes us what we wait for: the rest of a head, of a body, or room to write."""
        self._reset()

    @property
    def busy(self) -> bool:
        """Whether a request has begun to arrive, or an answer is not yet sent in full."""
        return self._receiving or self._transport.get_write_buffer_size() > 0

    def _reset(self) -> None:
        self._in_head = False
        self._url = b""
        self._request_id: bytes | None = None
        self._json_bytes: bytes | None = None
        self._mirror: bytes | None = None
        self._key: bytes | None = None
        self._share: bytes | None = None
        self._headers = 0
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._length = 0
        self._expects = False
        self._refusal: RequestError | None = None
        """Why the request is refused as soon as its head, and with it the request id, has been read."""
        self._body: bytes | bytearray = b""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to a client."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._active = self._site.loop.time()
        self._site.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Forget the client, and tell those who work for it."""
        self._closing = True
        self._receiving = False
        del self._parser  # it holds this connection's methods: a cycle
        self._site.connections.discard(self)
        for exchange in self._exchanges:
            if exchange.reply is None:
                self._site.in_flight -= 1
                if exchange.cancel is not None:
                    exchange.cancel()
        self._exchanges.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; complete requests are handled from within."""
        if self._closing:
            return
        self._active = self._site.loop.time()
        began_before = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(no_upgrade())  # CONNECT
        except httptools.HttpParserCallbackError as error:
            self._refuse(_cause(error))
        except httptools.HttpParserError as error:
            self._refuse(RequestError(400, "invalid_http", f"this is not HTTP/1.1: {error}"))
        else:
            if self._in_head and began_before:
                self._unparsed_bytes += len(data)
                if self._unparsed_bytes > self._limits.head_bytes:
                    self._refuse(self._limits.head_too_large())
            if len(self._exchanges) >= self._limits.pipelined:
                self._steer()

    def pause_writing(self) -> None:
        """The client does not take its answers: take no more requests."""
        self._writable = False
        self._clock = self._site.loop.time()
        self._steer()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable = True
        self._steer()

    # httptools' side

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._closing:
            raise _Closed
        self._reset()
        self._receiving = self._in_head = True
        self._clock = self._active

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._url += url
        if len(self._url) > self._limits.url_bytes:
            raise RequestError(414, "uri_too_long", f"the URL is longer than {self._limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer after a chunked body."""
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        if self._headers > self._limits.headers or self._head_bytes > self._limits.head_bytes:
            raise self._limits.head_too_large()
        if not self._in_head:
            return
        name = name.lower()
        if name == b"x-request-id":
            self._request_id = value  # whatever it is: Envoy keeps it too, and both must say the same
        elif name == b"content-length":
            self._length = int(value)
        elif name == b"expect":
            if value.lower() != b"100-continue":
                self._refusal = RequestError(417, "expectation_failed", "no expectation but 100-continue can be met")
            self._expects = True
        elif name == b"upgrade":
            self._refusal = no_upgrade()
        elif name in _KEPT:
            setattr(self, _KEPT[name], value)
        elif name == b"content-encoding" and value.lower() != b"identity":
            self._refusal = RequestError(415, "unsupported_encoding", "a request body must not be compressed")

    def on_headers_complete(self) -> None:
        """The head is there: refuse a body that would be too long, before it is sent."""
        self._in_head = False
        self._clock = self._active
        if self._refusal is not None:
            raise self._refusal
        if self._length > self._site.body_bytes:
            raise body_too_large(self._site.body_bytes)
        if self._expects and not self._exchanges:
            self._transport.write(CONTINUE)
            self._expects = False

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        if not self._body:
            self._body = chunk
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += chunk
        if len(self._body) > self._site.body_bytes:
            raise body_too_large(self._site.body_bytes)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._receiving = False
        parser = self._parser
        exchange = self._open(parser.get_method(), closes=not parser.should_keep_alive())
        try:
            self._site.handle(exchange)
        except RequestError as error:
            exchange.fail(error)
        except Exception:
            log.exception("a request could not be handled")
            exchange.fail(internal_error())

    # answers

    def finish(self, exchange: Exchange, status: int, body: bytes, headers: bytes) -> None:
        """Take an exchange's answer, and write all answers whose turn it is."""
        site = self._site
        exchange.cancel = None  # it leads back to the exchange: without the cycle nothing is left for the collector
        exchanges = self._exchanges
        if not exchanges:
            return  # the client is gone
        site.in_flight -= 1
        if site.draining and exchange is exchanges[-1] and not self._receiving:
            exchange.closes = self._closing = True
        if exchange.closes:
            headers += b"connection: close\r\n"
        exchange.reply = b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b" % (
            site.head(status) if exchange.media is None else site.head_of(status, exchange.media),
            exchange.request_id,
            len(body),
            headers,
            b"" if exchange.method == b"HEAD" else body,
        )
        recorder = site.recorder
        if recorder is not None:
            exchange.ended = monotonic()  # before the client has it, who may look at a clock at once
        if exchange is exchanges[0]:
            self._flush()
        if recorder is not None:
            recorder.add(exchange, status)

    def _flush(self) -> None:
        """Write the answers at the front of the queue that are there."""
        exchanges = self._exchanges
        transport = self._transport
        exchange = exchanges.popleft()
        replies = [cast("bytes", exchange.reply)]
        while exchanges and (following := exchanges[0].reply) is not None:
            exchange = exchanges.popleft()
            replies.append(following)
        if transport.is_closing():
            return  # the client has gone, and `connection_lost` is about to say so
        transport.write(b"".join(replies))
        if exchange.closes:
            self._clock = self._site.loop.time()
            transport.write_eof()
            return
        if not exchanges and self._expects and self._receiving and not self._in_head:
            transport.write(CONTINUE)
            self._expects = False
        if not self._reading:
            self._steer()

    def _open(self, method: bytes, *, closes: bool) -> Exchange:
        """Put the request that just ended (or was refused) in the queue."""
        site = self._site
        site.requests += 1
        site.in_flight += 1
        site.last_request = self._active
        request_id = self._request_id or uuid4().hex.encode()
        exchange = Exchange(
            self,
            method=method,
            url=self._url,
            request_id=request_id,
            body=self._body,
            closes=closes,
            json_bytes=self._json_bytes,
            mirror=self._mirror,
            key=self._key,
            share=self._share,
            began=0.0 if site.recorder is None else monotonic(),
        )
        self._body = b""
        self._closing = closes
        self._exchanges.append(exchange)
        return exchange

    def _refuse(self, error: RequestError) -> None:
        """Answer an error in the place of the request that is arriving, and close."""
        if self._closing:
            return
        if not self._receiving:
            self._reset()
        self._receiving = self._in_head = False
        self._open(b"", closes=True).fail(error)

    # clocks and pressure

    def check(self, now: float) -> None:
        """Give up on a client that has owed us something for too long."""
        limits = self._limits
        if not self._writable:
            if now - self._clock > limits.write_seconds:
                self.abort()
        elif self._exchanges:
            return
        elif self._closing:
            if now - self._clock > limits.linger_seconds:
                self.abort()
        elif self._receiving:
            part, seconds = ("head", limits.head_seconds) if self._in_head else ("body", limits.body_seconds)
            if now - self._clock > seconds:
                self._refuse(
                    RequestError(408, "request_timeout", f"the request's {part} took over {seconds:g} seconds")
                )
        elif now - self._active > limits.idle_seconds:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close without another word."""
        self._closing = True
        self._transport.abort()

    def _steer(self) -> None:
        """Read from the client only while it takes its answers and has few enough requests waiting."""
        wanted = self._writable and len(self._exchanges) < self._limits.pipelined
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._clock = self._site.loop.time()
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


class TellingConnection(Connection):
    """One that keeps all headers, for models that get each request whole. Of several of one name, the last counts."""

    def _reset(self) -> None:
        super()._reset()
        self._all: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer after a chunked body."""
        super().on_header(name, value)
        if self._in_head:
            self._all[name.lower().decode("latin-1")] = header_text(value)

    def _open(self, method: bytes, *, closes: bool) -> Exchange:
        exchange = super()._open(method, closes=closes)
        exchange.headers = self._all
        return exchange


class _Closed(Exception):
    """Ends the parsing of what follows the last request of a connection."""


def _cause(error: httptools.HttpParserCallbackError) -> RequestError:
    """What one of the callbacks raised."""
    cause = error.__context__
    if isinstance(cause, RequestError):
        return cause
    if not isinstance(cause, _Closed):
        log.error("a request could not be handled", exc_info=cause)
    return internal_error()
