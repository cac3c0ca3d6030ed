"""Questions to the monitor: where it is, and what is said when it gives no answer."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer
from pydantic import TypeAdapter

from operators.api.fields import parse_duration
from operators.cli.backend import Door
from operators.cli.errors import CliError
from operators.cli.session import Session

if TYPE_CHECKING:
    from monitor.client import MonitorClient

T = TypeVar("T")

URL_VARIABLE: Final = "TIDEGATE_MONITOR_URL"
"""Names a monitor that is asked in the place of the one that goes with the rollouts."""
TOKEN_FILE_VARIABLE: Final = "TIDEGATE_MONITOR_TOKEN_FILE"  # noqa: S105 - the name of a variable


def ask(session: Session, question: Callable[["MonitorClient"], Awaitable[T]]) -> T:
    """The monitor's answer. Raises `CliError`."""
    from monitor.client import MonitorClient, MonitorUnavailable, QuestionRefused  # noqa: PLC0415 - slow to import

    async def answer(door: Door) -> T:
        async with MonitorClient(door.url, door.token) as client:
            return await question(client)

    with _monitor(session) as door:
        try:
            return asyncio.run(answer(door))
        except QuestionRefused as error:
            raise CliError(str(error)) from error
        except MonitorUnavailable as error:
            raise CliError(str(error), _hint(session)) from error


def seconds_ago(duration: str | None, option: str = "--since") -> float:
    """The moment that was so long ago, in seconds since the epoch; 0 for None. Raises `typer.BadParameter`."""
    if duration is None:
        return 0.0
    try:
        return time.time() - parse_duration(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def plain(form: Any, content: object) -> Any:
    """A typed answer as what JSON can say."""
    return TypeAdapter(form).dump_python(content, mode="json")


@contextmanager
def _monitor(session: Session) -> Iterator[Door]:
    """The monitor that the environment names, else the rollouts' own."""
    url, file = os.environ.get(URL_VARIABLE), os.environ.get(TOKEN_FILE_VARIABLE)
    if not url:
        with session.backend.monitor(session.namespace) as door:
            yield door
        return
    try:
        token = Path(file).read_text().strip() if file else None
    except OSError as error:
        raise CliError(f"{TOKEN_FILE_VARIABLE} names {file}, which cannot be read: {error.strerror}") from error
    yield Door(url, token)


def _hint(session: Session) -> str:
    if os.environ.get(URL_VARIABLE):
        return f"it is the one that {URL_VARIABLE} names"
    idle = session.backend.idle()
    return "its log says more; try again in a moment" if idle is None else idle.hint
