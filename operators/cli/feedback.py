"""The command that says what became of requests. It goes the way of a client: through the router."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from operators.cli.backend import Door
from operators.cli.errors import CliError
from operators.cli.said import Item, items, one_item
from operators.cli.session import Name, Session, warn

BATCH: Final = 1_000
"""Items that are sent at once, in their order."""


def feedback(
    session: Session,
    name: Name,
    request: Annotated[
        str | None, typer.Argument(metavar="REQUEST_ID", help="`x-request-id` of the answer.", show_default=False)
    ] = None,
    *,
    label: Annotated[str | None, typer.Option(help="The right answer, as JSON.", show_default=False)] = None,
    reward: Annotated[float | None, typer.Option(help="What the answer was worth.", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option(help="Many, from JSON lines or CSV; - for JSON lines of standard input.")
    ] = None,
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many of the file, as they are sent already.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of what was said before.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Where clients ask; else it is looked up.", show_default=False)
    ] = None,
) -> None:
    """Say what became of requests: the right answer, a reward, or both.

    The same again changes nothing, so that a file that was sent in part may be sent again.
    """
    from operators.cli.sending import Sender, client  # noqa: PLC0415 - slow to import

    if (request is None) is (file is None):
        raise typer.BadParameter("name one request, or a --file with many")
    rollout = session.find(name)
    with ExitStack() as stack:
        if file is None:
            given: Iterator[Item] = iter([one_item(str(request), label, reward)])
        else:
            if label is not None or reward is not None:
                raise typer.BadParameter("labels and rewards are in the --file")
            given = islice(
                items(file, stack.enter_context(_opened(file)) if str(file) != "-" else sys.stdin), skip, None
            )
        door = Door(url) if url is not None else stack.enter_context(session.backend.router(session.namespace))
        sender = Sender(stack.enter_context(client(door, rollout)), name, replace)
        sender.done = skip
        try:
            while batch := [*islice(given, BATCH)]:
                sender.send(batch)
        except CliError as error:
            hint = f"\ngo on with: --skip {sender.done}" if file is not None and sender.done else ""
            raise CliError(f"{error}{hint}") from error
        finally:
            if sender.done > skip:
                typer.echo(sender.sum)
    if sender.conflicts:
        for request_id in sender.conflicts[:BATCH]:
            warn(f"conflict: {request_id}")
        raise CliError(
            f"{len(sender.conflicts):,} were not taken: something else was said about these requests before",
            "leave them out, or say --replace",
        )


def _opened(file: Path) -> Any:
    try:
        return file.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror}") from error
