"""The thread that sends to the monitor: the model's profile, then batches of records, each until it has arrived."""

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from serving.records.collector import BASELINES, RECORDS, Collector, Refused, Unreachable
from serving.records.config import RecordsConfig
from serving.records.encoding import Block
from serving.records.profile import Profile
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
    """Sends the model's profile, if it has one, and then what a recorder has.

    `start` and `close` may be called from any thread, each once.
    """

    def __init__(self, config: RecordsConfig, origin: Origin, recorder: Recorder, profile: Profile | None) -> None:
        self._config = config
        self._origin = origin
        self._profile = profile
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
        if self._profile is not None:
            self._send_profile(self._profile)
        batch = 0
        while blocks := self._recorder.take():
            batch += 1
            records = sum(block.records for block in blocks)
            if self._send(batch, blocks):
                self.sent += records
            else:
                self._lost += records
        if time.monotonic() >= self._deadline:
            log.warning("the server has ended before all its records were sent: %d are lost in all", self.dropped)
        self._collector.close()

    def _send_profile(self, profile: Profile) -> None:
        """Replicas of one version all send the same, which changes nothing."""
        try:
            self._deliver(BASELINES, orjson.dumps(self._about() | profile))
        except Refused as refusal:
            log.error("the monitor at %s refused the model's profile: %s", self._config.url, refusal)
        except Exception:
            log.exception("the model's profile could not be sent")

    def _send(self, batch: int, blocks: Sequence[Block]) -> bool:
        """Whether the batch arrived."""
        try:
            return self._deliver(RECORDS, self._body(batch, blocks))
        except Refused as refusal:
            if not self._refused_before:
                log.error("the monitor at %s refused records, which are lost: %s", self._config.url, refusal)
            self._refused_before = True
        except Exception:
            log.exception("a batch of records could not be sent")
        return False

    def _body(self, batch: int, blocks: Sequence[Block]) -> bytes:
        head = self._about() | {"replica": self._origin.replica, "batch": batch, "dropped": self.dropped}
        return b'%b,"blocks":[%b]}' % (orjson.dumps(head)[:-1], b",".join([block.content for block in blocks]))

    def _about(self) -> dict[str, object]:
        """What everything that is sent begins with."""
        origin = self._origin
        return {"namespace": origin.namespace, "model": origin.model, "version": origin.version}

    def _deliver(self, path: str, body: bytes) -> bool:
        """Whether it arrived before the end, after as many attempts as that took. Raises `Refused`."""
        config = self._config
        pause = 0.0
        while (left := self._deadline - time.monotonic()) > 0:
            try:
                self._collector.post(path, body, min(config.answer_seconds, left))
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
