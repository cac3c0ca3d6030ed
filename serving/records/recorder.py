"""What the server's thread does for records: it gathers answered exchanges, and writes them in blocks into a queue.

The JSON of a block is written here, soon after the answers are on their way, and not on the sender's thread: there it
would hold the interpreter's lock all the same, and read objects that have left the cache by then. A block of some
dozens costs half of what as many single records cost; of more with values, the garbage collector notices
(`benchmarks/records.py`). Of records without values nothing is kept that it looks at.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Container

from serving.exchange import Exchange
from serving.records.brief import brief_inputs, brief_outputs
from serving.records.config import RecordsConfig
from serving.records.encoding import FIELDS, Block, Encoder, Gathered
from serving.records.sampling import Sampling
from serving.runtimes import Tensors

log = logging.getLogger(__name__)

Later = Callable[[float, Callable[[], None]], object]
"""Has a function called after so many seconds, on the server's thread: `loop.call_later`."""


class Recorder:
    """The queue between the server's thread, which calls `add`, and the sender's, which calls `take`.

    Each of the two threads has counters that nobody else writes, so that no lock is needed.
    """

    def __init__(self, config: RecordsConfig, columns: tuple[str, ...], paths: Container[bytes], later: Later) -> None:
        """`columns` are the names of the model's inputs, `paths` those where it is asked."""
        self._config = config
        self._encoder = Encoder(columns, config.max_rows)
        self._sampling = Sampling(config)
        self._paths = paths
        self._later = later
        self._timed = False
        self._plain = Gathered()
        self._valued = Gathered()
        self._valued_bytes = 0
        self._queue: deque[Block] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._added = 0
        self._added_bytes = 0
        self._taken = 0
        self._taken_bytes = 0
        self._failed = False
        self.dropped = 0
        """Records for which there was no room, or that could not be written, ever."""

    def add(self, exchange: Exchange, status: int) -> None:
        """Keep the record of an answered exchange, if it asked the model and there is room. Never waits or raises."""
        rows = exchange.rows
        if rows is None and exchange.url not in self._paths and exchange.url.partition(b"?")[0] not in self._paths:
            return
        config = self._config
        request_id = exchange.request_id
        if rows is not None and self._sampling.chooses(request_id):
            gathered, outputs = self._valued, exchange.outputs
            if isinstance(rows, Tensors):
                gathered.tables.append(brief_inputs(rows, config.max_rows))
                outputs = outputs and brief_outputs(outputs, len(rows), config.max_rows)
            else:
                gathered.tables.append(rows)
            gathered.answers.append(outputs)
            self._valued_bytes += exchange.size + len(exchange.reply or b"")
            limit = 0 if self._valued_bytes >= config.block_bytes else config.block_records
        else:
            gathered, limit = self._plain, config.plain_records
        plain = gathered.plain
        plain += (
            request_id,
            exchange.ended,
            exchange.began,
            status,
            0 if rows is None else len(rows),
            exchange.mirror,
            exchange.key,
            exchange.share,
        )
        if len(plain) >= limit * FIELDS:
            self._write(gathered)
        elif not self._timed:
            self._timed = True
            self._later(config.block_seconds, self._write_all)

    def take(self) -> list[Block]:
        """The next batch, as soon as it is full or old enough; once closed, what is left, and at last nothing."""
        queue, wake, config = self._queue, self._wake, self._config
        # Whoever clears the event looks at the queue afterwards: a block added meanwhile is either seen or wakes.
        while not (queue or self._closed):
            wake.clear()
            if not (queue or self._closed):
                wake.wait()
        wake.clear()
        if not (self._full() or self._closed):
            wake.wait(config.batch_seconds)
        blocks: list[Block] = []
        records = size = 0
        while queue and records < config.batch_records and size < config.batch_bytes:
            blocks.append(queue.popleft())
            records += blocks[-1].records
            size += len(blocks[-1].content)
        self._taken += records
        self._taken_bytes += size
        return blocks

    def close(self) -> None:
        """Let `take` wait no more. Nothing is added any more: the server's thread calls this, or has ended."""
        self._write_all()
        self._closed = True
        self._wake.set()

    def _full(self) -> bool:
        """Whether what is in the queue makes a batch."""
        config = self._config
        return (
            self._added - self._taken >= config.batch_records
            or self._added_bytes - self._taken_bytes >= config.batch_bytes
        )

    def _write_all(self) -> None:
        self._timed = False
        self._write(self._plain)
        self._write(self._valued)

    def _write(self, gathered: Gathered) -> None:
        """Put what has been gathered in the queue."""
        if gathered is self._plain:
            self._plain = Gathered()
        else:
            self._valued, self._valued_bytes = Gathered(), 0
        records = len(gathered)
        if not records:
            return
        self._sampling.saw(records, gathered.plain[1 - FIELDS])
        config = self._config
        if (
            self._added - self._taken + records > config.max_records
            or self._added_bytes - self._taken_bytes >= config.max_bytes
        ):  # before it is written for nothing
            self.dropped += records
            return
        for block in self._blocks(gathered):
            self._put(block)

    def _blocks(self, gathered: Gathered) -> list[Block]:
        """The records as JSON. One that cannot be written is dropped, and takes no other with it."""
        try:
            return self._encoder.encode(gathered)
        except Exception:
            if len(gathered) > 1:
                places = range(len(gathered))
                return [block for place in places for block in self._blocks(gathered.only([place]))]
            if not self._failed:
                log.exception("a record could not be written, and is dropped; others like it are not logged")
            self._failed = True
            self.dropped += 1
            return []

    def _put(self, block: Block) -> None:
        waiting = len(self._queue)
        size = len(block.content)
        if self._added_bytes - self._taken_bytes + size > self._config.max_bytes:
            self.dropped += block.records
            return
        self._added += block.records
        self._added_bytes += size
        self._queue.append(block)
        if (not waiting or self._full()) and not self._wake.is_set():
            self._wake.set()
