"""A closed-loop HTTP/1.1 client: so many connections, each with one request under way, every answer counted.

It does little per request on purpose (one write, one scan of the header block, no coroutine), so that it is not what a
comparison measures. The demo, the end-to-end tests and the benchmarks use it. Only 127.0.0.1 is ever addressed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

LOOPBACK = "127.0.0.1"
NO_ANSWER = 0
"""The status of a request whose connection ended, or whose time was over, before an answer came."""
ANSWER_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to the request number `index`; `status` is `NO_ANSWER` when none came."""

    index: int
    status: int
    version: str
    seconds: float
    body: bytes


@dataclass(slots=True)
class Tally:
    """What a run of the client has seen so far. Only the first failures are kept whole, for a reader to look at."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        """Count one answer."""
        self.statuses[answer.status] += 1
        self.seconds.append(answer.seconds)
        if answer.version:
            self.versions[answer.version] += 1
        if answer.status != 200 and len(self.failures) < 20:
            self.failures.append(answer)

    @property
    def answered(self) -> int:
        """Answers of any status."""
        return sum(count for status, count in self.statuses.items() if status != NO_ANSWER)

    @property
    def failed(self) -> int:
        """Everything that was not a 200, requests without an answer included."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def percentile(self, share: float) -> float:
        """The latency in seconds that a `share` (0 to 1) of the answers did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of one POST of JSON."""
    lines = [f"POST {path} HTTP/1.1", "host: tidegate.test", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class _Connection(asyncio.Protocol):
    """One keep-alive connection: sends the next request as soon as the last one is answered, until there is none."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._index = -1
        self._started = 0.0
        self._pending: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Open the connection, again whenever the server closed it between requests, until the load ends."""
        loop = asyncio.get_running_loop()
        while not self._load.ended:
            self.finished = loop.create_future()
            try:
                await loop.create_connection(lambda: self, LOOPBACK, self._load.port)
            except OSError as error:
                if self._take():
                    self._answered(NO_ANSWER, "", repr(error).encode())
                await asyncio.sleep(0.05)
                continue
            await self.finished

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self._next()

    def _take(self) -> bool:
        taken = self._load.take()
        if taken is None:
            return False
        self._index, self._pending = taken
        self._started = time.perf_counter()
        return True

    def _next(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if not self._take():
            self._transport.close()
            return
        assert self._pending is not None
        self._deadline = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_SECONDS, self._transport.abort)
        self._transport.write(self._pending)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower() + b"\r\n"
        start = end + 4
        if b"\r\ntransfer-encoding: chunked" in head:
            if not self._buffer.endswith(b"0\r\n\r\n"):
                return
            body = b"".join(_chunks(self._buffer[start:]))
        else:
            length = int(_header(head, b"content-length") or 0)
            if len(self._buffer) < start + length:
                return
            body = self._buffer[start : start + length]
        self._buffer = b""
        close = b"\r\nconnection: close" in head
        self._answered(int(head[9:12]), _header(head, b"tidegate-version").decode(), body)
        if close and self._transport is not None:
            self._transport.close()
        elif self._load.pace:
            asyncio.get_running_loop().call_later(self._load.pace, self._next)
        else:
            self._next()

    def _answered(self, status: int, version: str, body: bytes) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._pending = None
        self._load.add(Answer(self._index, status, version, time.perf_counter() - self._started, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pending is not None:
            self._answered(NO_ANSWER, "", repr(exc).encode())
        if not self.finished.done():
            self.finished.set_result(None)


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip()


def _chunks(encoded: bytes) -> Iterator[bytes]:
    position = 0
    while True:
        line = encoded.index(b"\r\n", position)
        size = int(encoded[position:line], 16)
        if size == 0:
            return
        yield encoded[line + 2 : line + 2 + size]
        position = line + 4 + size


@dataclass(slots=True)
class Load:
    """Requests taken from `payloads` in order. `tally` may be read, or replaced by a fresh one, while it runs.

    `pace` is the pause in seconds that a connection makes after each answer; `each` is called with every answer.
    """

    port: int
    payloads: Iterator[bytes]
    pace: float = 0.0
    each: Callable[[Answer], None] | None = None
    tally: Tally = field(default_factory=Tally)
    ended: bool = False
    _taken: int = 0

    def take(self) -> tuple[int, bytes] | None:
        """The next request and its number; None at the end."""
        payload = None if self.ended else next(self.payloads, None)
        if payload is None:
            self.ended = True
            return None
        self.tally.sent += 1
        self._taken += 1
        return self._taken - 1, payload

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        self.tally.add(answer)
        if self.each is not None:
            self.each(answer)

    async def run(self, connections: int) -> None:
        """Send until the payloads end or `ended` is set; every request that was begun is also awaited."""
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(_Connection(self).run())


@asynccontextmanager
async def steady(port: int, payloads: Iterator[bytes], connections: int = 16, pace: float = 0.0) -> AsyncIterator[Load]:
    """Keep up load while the block runs."""
    load = Load(port, payloads, pace)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(connections))
        try:
            yield load
        finally:
            load.ended = True


async def burst(port: int, payloads: Sequence[bytes], connections: int = 16) -> tuple[Tally, list[Answer]]:
    """Send every payload once; the answers come back in the order of the payloads."""
    answers: list[Answer] = []
    load = Load(port, iter(payloads), each=answers.append)
    await load.run(connections)
    return load.tally, sorted(answers, key=lambda answer: answer.index)


async def answering(port: int, payload: bytes, seconds: float) -> None:
    """Return once the request is answered with 200; raises `TimeoutError` when it is not within so many seconds."""
    async with asyncio.timeout(seconds):
        while True:
            tally, _ = await burst(port, [payload], connections=1)
            if tally.failed == 0:
                return
            await asyncio.sleep(0.1)


def cycle_rows(path: str, rows: Iterable[Sequence[float]], headers: dict[str, str] | None = None) -> Iterator[bytes]:
    """Endless v2 REST requests of one row each, going round through `rows`."""
    payloads = [post(path, infer_body([row]), headers) for row in rows]
    while True:
        yield from payloads


def infer_body(rows: Sequence[Sequence[float]]) -> bytes:
    """The v2 body of a request with these rows as one FP64 tensor."""
    flat = ",".join(repr(float(value)) for row in rows for value in row)
    shape = f"[{len(rows)},{len(rows[0])}]"
    return f'{{"inputs":[{{"name":"input","shape":{shape},"datatype":"FP64","data":[{flat}]}}]}}'.encode()
