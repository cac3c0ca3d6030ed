"""What the server's thread does for records: it writes each one's JSON and puts it in a bounded queue.

The JSON is written here, once the answer is on its way, and not on the sender's thread: writing takes a microsecond
or two, in which the other thread would hold the interpreter's lock all the same. What it would read there are hundreds
of small objects that have left the cache by then and that the garbage collector has to visit. That cost five times as
much (`benchmarks/records.py`).
"""

import logging
import threading
from collections import deque

from serving.exchange import Exchange
from serving.records.config import RecordsConfig
from serving.records.encoding import Encoder

log = logging.getLogger(__name__)


class Recorder:
    """The queue between the server's thread, which calls `add`, and the sender's, which calls `take`.

    Each of the two threads has counters that nobody else writes, so that no lock is needed.
    """

    def __init__(self, config: RecordsConfig, columns: tuple[str, ...], paths: frozenset[bytes]) -> None:
        """`columns` are the names of the model's inputs, `paths` those where it is asked."""
        self._config = config
        self._encoder = Encoder(columns, config.sample, config.max_rows)
        self._paths = paths
        self._queue: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._added_bytes = 0
        self._taken_bytes = 0
        self._failed = False
        self.dropped = 0
        """Records for which there was no room, or that could not be written, ever."""

    def add(self, exchange: Exchange, status: int) -> None:
        """Keep the record of an answered exchange, if it asked the model and there is room. Never waits or raises."""
        if exchange.url not in self._paths and exchange.url.partition(b"?")[0] not in self._paths:
            return
        config = self._config
        waiting = len(self._queue)
        pending = self._added_bytes - self._taken_bytes
        if waiting >= config.max_records or pending >= config.max_bytes:  # before it is written for nothing
            self.dropped += 1
            return
        try:
            record = self._encoder.encode(exchange, status)
        except Exception:
            if not self._failed:
                log.exception("a record could not be written, and is dropped; others like it are not logged")
            self._failed = True
            self.dropped += 1
            return
        pending += len(record)
        if pending > config.max_bytes:
            self.dropped += 1
            return
        self._added_bytes += len(record)
        self._queue.append(record)
        if (
            not waiting or waiting + 1 >= config.batch_records or pending >= config.batch_bytes
        ) and not self._wake.is_set():
            self._wake.set()

    def take(self) -> list[bytes]:
        """The next batch, as soon as it is full or old enough; once closed, what is left, and at last nothing."""
        queue, wake, config = self._queue, self._wake, self._config
        # Whoever clears the event looks at the queue afterwards: a record added meanwhile is either seen or wakes.
        while not (queue or self._closed):
            wake.clear()
            if not (queue or self._closed):
                wake.wait()
        wake.clear()
        pending = self._added_bytes - self._taken_bytes
        if len(queue) < config.batch_records and pending < config.batch_bytes and not self._closed:
            wake.wait(config.batch_seconds)
        records: list[bytes] = []
        size = 0
        while queue and len(records) < config.batch_records and size < config.batch_bytes:
            records.append(queue.popleft())
            size += len(records[-1])
        self._taken_bytes += size
        return records

    def close(self) -> None:
        """Let `take` wait no more. May be called from any thread."""
        self._closed = True
        self._wake.set()
