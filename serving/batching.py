"""Continuous micro-batching: what arrives while the model is busy, or in one turn of the loop, goes in the next call.

An idle model waits for nobody: the first request of a turn schedules the call for the end of that turn, so a lone
request is delayed by no timer, and requests that were readable together share one call.

Where the model runs is decided by how long it takes. While the moving average of its calls is under
`INLINE_SECONDS` it runs on the loop's own thread: handing over to another thread and back costs more than such a
call. A slower model, one not yet measured, and a request of more rows than a batch run on one worker thread, so that
health checks, refusals and timeouts go on meanwhile. There is never more than one call at a time: models need not be
thread-safe. A model that is not `joint` gets each request in a call of its own, and whole.
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
from typing import Any

import numpy as np

from serving.errors import BadPrediction, ModelCallError, QueueFull, RequestError
from serving.runtimes import LoadedModel, Tensors

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

    `rows` is an array whose first axis counts the rows, or tensors; `outputs` are the wanted outputs. `deliver` is
    called once, on the loop's thread, with the outputs of exactly these rows or with the error that stands for them;
    never after `abandoned` was set.
    """

    rows: np.ndarray | Tensors
    outputs: tuple[str, ...]
    deliver: Callable[[Outcome], None]
    abandoned: bool = False

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self.abandoned = True

    @property
    def kind(self) -> tuple[object, ...]:
        """What must be equal for two jobs to share a call."""
        if isinstance(self.rows, Tensors):
            return self.rows.kind, self.outputs
        return self.rows.dtype, self.rows.shape[1:], self.outputs


def call(model: LoadedModel, rows: np.ndarray | Tensors, outputs: tuple[str, ...], max_batch: int) -> Outputs:
    """Ask the model for `rows`, at most `max_batch` at a time. Raises what it raises, or `BadPrediction`."""
    if not model.signature.joint:
        answer = model.predict(rows, outputs)
        for name, values in answer.items():
            if not isinstance(values, np.ndarray):
                raise BadPrediction(f"output {name} is no array but a {type(values).__name__}")
        return answer
    if len(rows) > max_batch:
        starts = range(0, len(rows), max_batch)
        parts = [call(model, _part(rows, start, start + max_batch), outputs, max_batch) for start in starts]
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
        answer = call(model, _together([job.rows for job in jobs]), jobs[0].outputs, max_batch)
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
    except RequestError as error:
        return error
    except BaseException as error:  # noqa: BLE001 - see `run`
        failure = ModelCallError(error)
        failure.__cause__ = error
        return failure


def _part(rows: np.ndarray | Tensors, start: int, stop: int) -> np.ndarray | Tensors:
    return rows.slice(start, stop) if isinstance(rows, Tensors) else rows[start:stop]


def _together(parts: Sequence[Any]) -> np.ndarray | Tensors:
    """The rows of all parts, which are of one kind."""
    return Tensors.join(parts) if isinstance(parts[0], Tensors) else np.concatenate(parts)


class Worker:
    """The threads of slow model calls. Daemons: a call that never comes back cannot keep the process from ending."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int = 1) -> None:
        self._loop = loop
        self._begun: dict[int, float] = {}
        self._tasks: queue.SimpleQueue[tuple[Callable[[], list[Outcome]], Callable[[list[Outcome]], None]] | None]
        self._tasks = queue.SimpleQueue()
        self._threads = threads
        for number in range(threads):
            threading.Thread(target=self._work, args=[number], name="tidegate-model", daemon=True).start()

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` of when the oldest call that is under way began. May be read from any thread."""
        return min([*self._begun.values()], default=None)

    def submit(self, task: Callable[[], list[Outcome]], done: Callable[[list[Outcome]], None]) -> None:
        """Run `task` on the thread and `done` with its result on the loop."""
        self._tasks.put((task, done))

    def close(self) -> None:
        """End the threads after what was submitted."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self, number: int) -> None:
        while (item := self._tasks.get()) is not None:
            task, done = item
            self._begun[number] = time.monotonic()
            result = task()
            del self._begun[number]
            # The loop may be closed by now: nobody is left to hear the result.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(done, result)
            del item, task, done, result  # while it waits, the thread must not keep a model in memory


class Batcher:
    """Gathers jobs and lets the model answer them. All methods belong to the thread of `loop`."""

    def __init__(
        self,
        model: LoadedModel,
        max_batch: int,
        max_queue: int,
        loop: asyncio.AbstractEventLoop,
        *,
        worker: Worker | None = None,
        took: float | None = None,
    ) -> None:
        """`worker` is one that is shared with others; without it the batcher has its own. `took` is how many seconds a
        call of the model has taken, if that is known.
        """
        self._model = model
        self._max_batch = max_batch
        self._joint = model.signature.joint
        self._max_queue = max_queue
        self._loop = loop
        self._waiting: deque[Job] = deque()
        self._scheduled = False
        self._average = took
        self._failures = 0
        self._next_log = 0.0
        self._own_worker = worker is None
        self._worker = worker or Worker(loop)
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
        """Let a worker of its own go, after the call that is under way."""
        if self._own_worker:
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

        Jobs of another kind keep their places. At least one job is taken, whatever its size, and only one if the model
        wants each alone.
        """
        jobs: list[Job] = []
        passed: list[Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if job.abandoned:
                self._waiting.popleft()
            elif jobs and (rows + len(job.rows) > self._max_batch or not self._joint):
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
