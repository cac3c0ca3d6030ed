"""Why a replica did not start: told by the replica, carried by Ray inside a traceback, found again here. Pure."""

import re
from typing import Final

import orjson

_MARK: Final = "tidegate-reason: "
_MARKED: Final = re.compile(re.escape(_MARK) + r'("(?:[^"\\]|\\.)*")')
_INSTALLING: Final = re.compile(r"Last \d+ lines of stdout:\s*(\S.*)", re.DOTALL)
"""What pip printed when it failed."""
_LOADING: Final = re.compile(r"taken more than (\d+)s to initialize")
_UNPLACED: Final = re.compile(
    r"taken more than \d+s to be scheduled.*required for each replica: ({.*?}), total resources available: ({.*?})\.",
    re.DOTALL,
)
_GIB: Final = 1 << 30
_RAISED: Final = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*): +(\S.*)$")
"""The last line of a traceback: the exception's class and its message."""


def mark(reason: str) -> str:
    """The text of an exception from which `reason_in` finds the reason again, on one line whatever it holds."""
    return _MARK + orjson.dumps(reason).decode()


def reason_in(message: str) -> str:
    """The reason in one of Ray's messages, as a sentence for people.

    Without a mark it is the message of the exception that was raised last; without one, the first line.
    """
    marked = _MARKED.search(message)
    if marked is not None:
        return str(orjson.loads(marked[1]))
    installing = _INSTALLING.search(message)
    if installing is not None:
        return f"its packages could not be installed: {installing[1].strip().splitlines()[-1].strip()}"
    slow = slow_start(message)
    if slow is not None:
        return slow
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    for line in reversed(lines):
        raised = _RAISED.match(line)
        if raised is not None:
            return f"{raised[1]}: {raised[2]}"
    return lines[0] if lines else ""


def slow_start(message: str) -> str | None:
    """What a replica that is slow to start waits for; None when the message is about something else."""
    loading = _LOADING.search(message)
    if loading is not None:
        return f"a replica has been loading its model for more than {loading[1]} seconds"
    unplaced = _UNPLACED.search(message)
    if unplaced is None:
        return None
    wanted, free = orjson.loads(unplaced[1]), orjson.loads(unplaced[2])
    short = [
        f"{_amount(name, wanted[name])} wanted, {_amount(name, free.get(name, 0))} free"
        for name in wanted
        if wanted[name] > free.get(name, 0)
    ]
    if short:
        return f"Ray has no room for another replica: {'; '.join(short)}"
    return "Ray has not placed a replica yet: it installs packages, or no one machine has enough room"


def _amount(resource: str, amount: float) -> str:
    """An amount of one of Ray's resources; memory is counted in bytes."""
    if resource == "memory":
        return f"{amount / _GIB:,.1f} GiB of memory"
    return f"{amount:g} {resource}"
