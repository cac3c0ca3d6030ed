"""The thread that sends records to the monitor, one batch after the other, each until it has arrived."""

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from serving.records.collector import Collector, Refused, Unreachable
from serving.records.config import RecordsConfig
from serving.records.recorder import Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends. `replica` is unique for each server: its batches count from 1."""

    namespace: str
    model: str
    version: str
    replica: str


class Sender:
    """Sends what a recorder has. `start` and `close` may be called from any thread, each once."""

    def __init__(self, config: RecordsConfig, origin: Origin, recorder: Recorder) -> None:
        self._config = config
        self._origin = origin
        self._recorder = recorder
        self._collector = Collector(config.url, config.token_file)
        self._thread = threading.Thread(target=self._run, name="tidegate-records", daemon=True)
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._refused_before = False
        self._lost = 0
        self.sent = 0
        """Records that the monitor has taken, ever."""

    @property
    def dropped(self) -> int:
        """Records that are lost, ever: for want of room, refused by the monitor, or left at the end."""
        return self._recorder.dropped + self._lost

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Send what waits, for at most `close_seconds`; the rest is dropped. Nothing must be added any more."""
        self._deadline = time.monotonic() + self._config.close_seconds
        self._closing.set()
        self._recorder.close()
        self._thread.join(self._config.close_seconds)

    def _run(self) -> None:
        batch = 0
        while records := self._recorder.take():
            batch += 1
            try:
                arrived = self._deliver(self._body(batch, records))
            except Exception:
                log.exception("a batch of records could not be sent")
                arrived = False
            if arrived:
                self.sent += len(records)
            else:
                self._lost += len(records)
        if time.monotonic() >= self._deadline:
            log.warning("the server has ended before all its records were sent: %d are lost in all", self.dropped)
        self._collector.close()

    def _body(self, batch: int, records: Sequence[bytes]) -> bytes:
        origin = self._origin
        head = {
            "namespace": origin.namespace,
            "model": origin.model,
            "version": origin.version,
            "replica": origin.replica,
            "batch": batch,
            "dropped": self.dropped,
        }
        return b'%b,"records":[%b]}' % (orjson.dumps(head)[:-1], b",".join(records))

    def _deliver(self, body: bytes) -> bool:
        """Whether the batch arrived, after as many attempts as that took."""
        config = self._config
        pause = 0.0
        while (left := self._deadline - time.monotonic()) > 0:
            try:
                self._collector.post(body, min(config.answer_seconds, left))
            except Refused as refusal:
                if not self._refused_before:
                    log.error("the monitor at %s refused records, which are lost: %s", config.url, refusal)
                self._refused_before = True
                return False
            except Unreachable as failure:
                if not pause:
                    log.warning("records wait for the monitor at %s: %s", config.url, failure)
                pause = min(max(2 * pause, config.first_pause), config.longest_pause)
                self._pause(random.uniform(pause / 2, pause))  # noqa: S311 - replicas must not come all at once
            else:
                if pause:
                    log.info("the monitor at %s takes records again", config.url)
                return True
        return False

    def _pause(self, seconds: float) -> None:
        """Wait; while closing, no longer than there is time."""
        if not self._closing.wait(seconds):
            return
        time.sleep(max(0.0, min(self._config.first_pause, self._deadline - time.monotonic())))
