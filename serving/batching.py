"""Continuous micro-batching: what arrives while the model is busy, or in one turn of the loop, goes in the next call.

An idle model waits for nobody: the first request of a turn schedules the call for the end of that turn, so a lone
request is delayed by no timer, and requests that were readable together share one call.

Where the model runs is decided by how long it takes. While the moving average of its calls is under
`INLINE_SECONDS` it runs on the loop's own thread: handing over to another thread and back costs more than such a
call. A slower model, one not yet measured, and a request of more rows than a batch run on one worker thread, so that
health checks, refusals and timeouts go on meanwhile. There is never more than one call at a time: models need not be
thread-safe.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serving.errors import BadPrediction, ModelCallError, QueueFull, RequestError
from serving.runtimes import LoadedModel

INLINE_SECONDS = 0.002
"""A model whose calls take less on average runs on the loop's thread."""

SMOOTHING = 0.2
"""The weight of the newest call in the moving average."""

LOG_SECONDS = 10.0
"""A failing model's traceback is logged at most this often."""

Outputs = Mapping[str, np.ndarray]
Outcome = Outputs | RequestError

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """One request for the model.

    `rows` is an array whose first axis counts the rows, `outputs` the wanted outputs. `deliver` is called once, on
    the loop's thread, with the outputs of exactly these rows or with the error that stands for them; never after
    `abandoned` was set.
    """

    rows: np.ndarray
    outputs: tuple[str, ...]
    deliver: Callable[[Outcome], None]
    abandoned: bool = False

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self.abandoned = True

    @property
    def kind(self) -> tuple[object, ...]:
        """What must be equal for two jobs to share a call."""
        return self.rows.dtype, self.rows.shape[1:], self.outputs


def call(model: LoadedModel, rows: np.ndarray, outputs: tuple[str, ...], max_batch: int) -> Outputs:
    """Ask the model for `rows`, at most `max_batch` at a time. Raises what it raises, or `BadPrediction`."""
    if len(rows) > max_batch:
        parts = [
            call(model, rows[start : start + max_batch], outputs, max_batch) for start in range(0, len(rows), max_batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}
    answer = model.predict(rows, outputs)
    for name in outputs:
        if len(answer[name]) != len(rows):
            raise BadPrediction(f"output {name} has {len(answer[name])} entries for {len(rows)} rows")
    return answer


def run(model: LoadedModel, jobs: Sequence[Job], max_batch: int) -> list[Outcome]:
    """Answer jobs of one kind with one call; when that raises, each alone: only the guilty one gets the error."""
    if len(jobs) == 1:
        return [_alone(model, jobs[0], max_batch)]
    try:
        answer = call(model, np.concatenate([job.rows for job in jobs]), jobs[0].outputs, max_batch)
    except BaseException as error:  # noqa: BLE001 - a model is foreign code; one that exits must not take others along
        log.debug("a joint call for %d requests raised %r; each is tried alone", len(jobs), error)
        return [_alone(model, job, max_batch) for job in jobs]
    outcomes: list[Outcome] = []
    start = 0
    for job in jobs:
        end = start + len(job.rows)
        outcomes.append({name: values[start:end] for name, values in answer.items()})
        start = end
    return outcomes


def _alone(model: LoadedModel, job: Job, max_batch: int) -> Outcome:
    try:
        # A model may work in place (`StandardScaler(copy=False)`), and the records keep what was sent.
        return call(model, job.rows.copy(), job.outputs, max_batch)
    except BaseException as error:  # noqa: BLE001 - see `run`
        failure = ModelCallError(error)
        failure.__cause__ = error
        return failure


class _Worker:
    """The thread of slow model calls. A daemon: a call that never comes back cannot keep the process from ending."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: queue.SimpleQueue[tuple[Callable[[], list[Outcome]], Callable[[list[Outcome]], None]] | None]
        self._tasks = queue.SimpleQueue()
        threading.Thread(target=self._work, name="tidegate-model", daemon=True).start()

    def submit(self, task: Callable[[], list[Outcome]], done: Callable[[list[Outcome]], None]) -> None:
        """Run `task` on the thread and `done` with its result on the loop."""
        self._tasks.put((task, done))

    def close(self) -> None:
        """End the thread after what was submitted."""
        self._tasks.put(None)

    def _work(self) -> None:
        while (item := self._tasks.get()) is not None:
            task, done = item
            result = task()
            # The loop may be closed by now: nobody is left to hear the result.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(done, result)


class Batcher:
    """Gathers jobs and lets the model answer them. All methods belong to the thread of `loop`."""

    def __init__(self, model: LoadedModel, max_batch: int, max_queue: int, loop: asyncio.AbstractEventLoop) -> None:
        self._model = model
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._loop = loop
        self._waiting: deque[Job] = deque()
        self._scheduled = False
        self._average: float | None = None
        self._failures = 0
        self._next_log = 0.0
        self._worker = _Worker(loop)
        self.busy_since: float | None = None
        """`time.monotonic()` of when the call that is under way on the worker began."""

    @property
    def waiting(self) -> int:
        """How many requests wait for the model, those in a call not counted."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Let the job take part in one of the next calls. Raises `QueueFull`."""
        if len(self._waiting) >= self._max_queue:
            self._waiting = deque(job for job in self._waiting if not job.abandoned)
        if len(self._waiting) >= self._max_queue:
            raise QueueFull(len(self._waiting))
        self._waiting.append(job)
        self._schedule()

    def close(self) -> None:
        """Let the worker thread go, after the call that is under way."""
        self._worker.close()

    def _schedule(self) -> None:
        if not self._scheduled and self.busy_since is None:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Make one call; another turn follows while jobs wait, after the loop has looked at its sockets."""
        self._scheduled = False
        jobs = self._take()
        if not jobs:
            return
        began = time.monotonic()
        if self._average is not None and self._average < INLINE_SECONDS and len(jobs[0].rows) <= self._max_batch:
            self._finish(jobs, began, run(self._model, jobs, self._max_batch))
        else:
            self.busy_since = began
            self._worker.submit(
                lambda: run(self._model, jobs, self._max_batch),
                lambda outcomes: self._finish(jobs, began, outcomes),
            )

    def _take(self) -> list[Job]:
        """The jobs of the next call: the oldest, and those behind it of the same kind, up to `max_batch` rows.

        Jobs of another kind keep their places. At least one job is taken, whatever its size.
        """
        jobs: list[Job] = []
        passed: list[Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if job.abandoned:
                self._waiting.popleft()
            elif jobs and rows + len(job.rows) > self._max_batch:
                break
            elif jobs and job.kind != jobs[0].kind:
                passed.append(self._waiting.popleft())
            else:
                jobs.append(self._waiting.popleft())
                rows += len(job.rows)
        self._waiting.extendleft(reversed(passed))
        return jobs

    def _finish(self, jobs: Sequence[Job], began: float, outcomes: Sequence[Outcome]) -> None:
        took = time.monotonic() - began
        self._average = took if self._average is None else self._average + SMOOTHING * (took - self._average)
        self.busy_since = None
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, ModelCallError):
                self._log_failure(outcome)
            if not job.abandoned:
                job.deliver(outcome)
        if self._waiting:
            self._schedule()

    def _log_failure(self, failure: ModelCallError) -> None:
        """Log why the model raised, with its traceback, but not for every request of a model that always does."""
        self._failures += 1
        now = time.monotonic()
        if now >= self._next_log:
            log.error("%s (%d failed requests so far)", failure, self._failures, exc_info=failure.__cause__)
            self._next_log = now + LOG_SECONDS
