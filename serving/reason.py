"""Why a replica did not start: told by the replica, carried by Ray inside a traceback, found again here. Pure."""

import re
from typing import Final

import orjson

_MARK: Final = "tidegate-reason: "
_MARKED: Final = re.compile(re.escape(_MARK) + r'("(?:[^"\\]|\\.)*")')
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
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    for line in reversed(lines):
        raised = _RAISED.match(line)
        if raised is not None:
            return f"{raised[1]}: {raised[2]}"
    return lines[0] if lines else ""
