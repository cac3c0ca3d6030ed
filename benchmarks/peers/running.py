"""A contender's run: start, wait, check its answers, say what it uses, stop. Only 127.0.0.1 is ever addressed."""

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.client import Answer, burst
from benchmarks.peers.contenders import SPARE_PORTS, Contender, Place
from benchmarks.peers.exchange import Exchange, Rows, UnreadableAnswer

START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 20.0
MARK = "TIDEGATE_PEERS_RUN"
"""The variable that every process of a run inherits, by which they are found again."""
_OUTPUT = "output.txt"
_PAUSE_SECONDS = 0.1


class ContenderFailed(RuntimeError):
    """It ended, or did not answer in time."""


class WrongAnswer(RuntimeError):
    """It answered with an error, something unreadable, or something that the model does not say."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What all processes of a contender use: CPU seconds since their start, and memory in bytes.

    `resident` adds up RSS, in which a page counts once for each process that shares it; in `proportional` (PSS) it
    counts once.
    """

    processes: int
    cpu_seconds: float
    resident: int
    proportional: int


@dataclass(frozen=True, slots=True)
class Run:
    """A contender that was started. `mark` is the value of MARK in the environment of its processes."""

    contender: Contender
    place: Place
    mark: str
    leader: psutil.Popen
    began: float

    @property
    def port(self) -> int:
        """Where it is asked."""
        return self.place.port

    def output(self) -> str:
        """The end of what it printed."""
        return (self.place.folder / _OUTPUT).read_text(errors="replace")[-3000:]

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for it now.

        Process groups do not do, since Ray gives its processes sessions of their own. The mark finds processes whose
        parent is gone; the children of marked ones include those that have written a title over their environment.
        """
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            if process.pid in found or not self._marked(process):
                continue
            found[process.pid] = process
            try:
                found |= {child.pid: child for child in process.children(recursive=True)}
            except psutil.Error:
                continue
        return list(found.values())

    def _marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark
        except (psutil.Error, OSError):  # it is gone, or not ours to look at
            return False

    def usage(self) -> Usage:
        """What it uses; a process that ends meanwhile is left out."""
        count, cpu, resident, proportional = 0, 0.0, 0, 0
        for process in self.processes():
            try:
                times = process.cpu_times()
                # What has ended counts among its parent's children, so that the sum does not fall.
                cpu += times.user + times.system + times.children_user + times.children_system
                memory = process.memory_full_info()
            except psutil.Error:
                continue
            count += 1
            resident += memory.rss
            proportional += memory.pss
        return Usage(count, cpu, resident, proportional)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on just now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def started(contender: Contender, python: Path, model: Path) -> Iterator[Run]:
    """Start it, and stop all of its processes at the end. Raises `ContenderFailed` when its program cannot be run.

    It need not be ready: see `ready`. Several may be started at once, for rounds that take turns.
    """
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
        port, *spare = free_ports(1 + SPARE_PORTS)
        place = Place(python, model.absolute(), Path(folder), port, tuple(spare))
        for name, text in contender.files.items():
            (place.folder / name).write_text(place.fill(text))
        mark = uuid.uuid4().hex
        with (place.folder / _OUTPUT).open("wb") as output:
            try:
                leader = psutil.Popen(
                    contender.words(place),
                    cwd=place.folder,
                    env=environment(contender, place, os.environ) | {MARK: mark},
                    stdin=subprocess.PIPE,  # some end with their standard input
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ContenderFailed(f"{contender.name} could not be started: {error}") from error
        run = Run(contender, place, mark, leader, time.perf_counter())
        try:
            yield run
        finally:
            stop(run)


def environment(contender: Contender, place: Place, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables that it is started with: ours without what points at our own environment, and its own."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "RAY_"))}
    own = {name: place.fill(value) for name, value in contender.environment.items()}
    path = f"{place.python.parent}{os.pathsep}{inherited.get('PATH', os.defpath)}"
    return kept | {"PATH": path, "MODEL": str(place.model)} | own


def stop(run: Run) -> None:
    """End it by SIGTERM to its first process, then to what is left, then by SIGKILL."""
    everything = run.processes()
    _signal([run.leader], signal.SIGTERM)
    _remaining([run.leader])
    everything = list({*everything, *run.processes()})
    _signal(everything, signal.SIGTERM)
    _signal(_remaining(everything), signal.SIGKILL)
    _remaining(everything)
    run.leader.wait()
    if run.leader.stdin is not None:
        run.leader.stdin.close()


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:  # it has ended
            continue


def _remaining(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run after a while. An orphan may stay a zombie for long, and runs no more."""
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while (alive := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


async def ready(run: Run, rows: Rows, seconds: float = START_TIMEOUT_SECONDS) -> float:
    """Wait until it answers a request for these rows with 200, and return the seconds since its start.

    Raises `ContenderFailed` when it ends or the time is over.
    """
    payload = run.contender.exchange.request(rows)
    last = "no connection"
    while time.perf_counter() < run.began + seconds:
        if run.leader.poll() is not None:
            raise ContenderFailed(f"{run.contender.name} ended with {run.leader.poll()}:\n{run.output()}")
        try:
            async with asyncio.timeout(max(0.0, run.began + seconds - time.perf_counter())):
                _, (answer,) = await burst(run.port, [payload], connections=1)
        except TimeoutError:
            break
        if answer.status == 200:
            return time.perf_counter() - run.began
        last = f"{answer.status} {answer.body[:300]!r}"
        await asyncio.sleep(_PAUSE_SECONDS)
    raise ContenderFailed(f"{run.contender.name} was not ready after {seconds:.0f} s ({last}):\n{run.output()}")


async def check(run: Run, rows: Rows, expected: Sequence[int], sizes: Sequence[int] = (1, 64)) -> int:
    """Ask for all rows, so many of them a request, and compare every answer; returns how many requests were answered.

    Raises `WrongAnswer`.
    """
    asked = 0
    for size in sizes:
        starts = range(0, len(rows), size)
        exchange = run.contender.exchange
        _, answers = await burst(run.port, [exchange.request(rows[start : start + size]) for start in starts])
        for start, answer in zip(starts, answers, strict=True):
            compare(run.contender.name, exchange, answer, expected[start : start + size])
        asked += len(answers)
    return asked


def compare(name: str, exchange: Exchange, answer: Answer, expected: Sequence[int]) -> None:
    """Raise `WrongAnswer` unless the answer is a 200 with just these labels."""
    if answer.status != 200:
        raise WrongAnswer(f"{name} answered request {answer.index} with {answer.status}: {answer.body[:300]!r}")
    try:
        labels = exchange.labels(answer.body)
    except UnreadableAnswer as error:
        raise WrongAnswer(f"{name} answered request {answer.index} unreadably: {error}") from error
    if labels != list(expected):
        raise WrongAnswer(f"{name} answered request {answer.index} with {labels}; the model says {list(expected)}")
