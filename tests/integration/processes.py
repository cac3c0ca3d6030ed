"""Looks at processes that may vanish while they are looked at, and that count as gone once they are zombies.

A killed process stays a zombie until its parent asks for its exit code. The parent of an orphan is the machine's first
process, which in a container may take its time, or never ask.
"""

import os
import time

import psutil

DEADLINE = 120.0
_POLL_SECONDS = 0.02
_ENDED = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def runs(process: psutil.Process) -> bool:
    """Whether the process is there and can still do something."""
    try:
        return process.is_running() and process.status() not in _ENDED
    except psutil.NoSuchProcess:
        return False


def title(process: psutil.Process) -> str:
    """The command line, which Ray's workers rewrite to say what they are; empty once the process has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def children(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    """The running children of a process; with `recursive` theirs too."""
    try:
        return [child for child in psutil.Process(pid).children(recursive=recursive) if runs(child)]
    except psutil.NoSuchProcess:
        return []


def child_running(pid: int, words: str) -> psutil.Process:
    """The only child of a process whose command line says `words`."""
    (child,) = [child for child in children(pid) if words in title(child)]
    return child


def replicas_of(pid: int, name: str) -> list[psutil.Process]:
    """The replicas of a rollout among everything that a process has started, however indirectly."""
    titles = {process: title(process) for process in children(pid, recursive=True)}
    return [process for process, said in titles.items() if "ServeReplica" in said and f".{name}." in said]


def session_of(leader: int) -> list[psutil.Process]:
    """Every running process of a session."""
    return [process for process in psutil.process_iter() if _session(process.pid) == leader and runs(process)]


def inheriting(variable: str, value: str) -> list[psutil.Process]:
    """Every running process that was started with this variable in its environment."""
    return [process for process in psutil.process_iter() if _environment(process).get(variable) == value]


def listening(process: psutil.Process) -> set[str]:
    """The addresses on which a process accepts connections."""
    try:
        connections = process.net_connections("inet")
    except psutil.Error:
        return set()
    return {it.laddr.ip.removeprefix("::ffff:") for it in connections if it.status == psutil.CONN_LISTEN}


def wait_gone(*processes: psutil.Process, seconds: float = DEADLINE) -> None:
    """Return when none of the processes runs any more; raises `AssertionError` with those that do."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if runs(process)]:
        assert time.monotonic() < deadline, f"still running after {seconds:g} s: {left}"
        time.sleep(_POLL_SECONDS)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # ended, or somebody else's
        return {}
