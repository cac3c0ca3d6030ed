"""Commands that ask the monitor: compare, drift, performance, events."""

import asyncio
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from operators.cli.asking import ask, plain, seconds_ago
from operators.cli.render import checks, dumped
from operators.cli.session import Name, Session, warn
from operators.status import CheckResult, Phase, RolloutStatus

if TYPE_CHECKING:
    from monitor.client import MonitorClient

LOOK_SECONDS: Final = 2.0
"""How often the monitor is asked for new events, while somebody follows."""
_BUCKET: Final = re.compile("[1-9][0-9]{0,3}[mhd]")


class Form(StrEnum):
    """Forms for programs."""

    JSON = "json"
    YAML = "yaml"


Output = Annotated[Form | None, typer.Option("--output", "-o", help="A form for programs.", show_default=False)]


def compare(
    session: Session,
    name: Name,
    *,
    stable: Annotated[str | None, typer.Option(help="One version; else what users get.", show_default=False)] = None,
    candidate: Annotated[str | None, typer.Option(help="The other; else the newest.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option(help="How far back, such as 1h; else all.", show_default=False)] = None,
    output: Output = None,
) -> None:
    """Show how a candidate compares with the stable version.

    By the same requests if the candidate gets copies, by labels and rewards, latency and errors.
    """
    from monitor.answers.comparison import ComparisonReport  # noqa: PLC0415 - slow to import
    from operators.cli.comparison import comparison, meaning  # noqa: PLC0415

    status = session.find(name).status
    usual = sides(status)
    about = (stable or usual[0], candidate or usual[1])
    report = ask(
        session,
        lambda client: client.compare(session.namespace, name, seconds_ago(since), stable=about[0], candidate=about[1]),
    )
    judged = status.checks if status.candidate and status.candidate.revision.id == report.candidate else ()
    if output is None:
        typer.echo(comparison(report, checks(judged), since))
        typer.echo(f"\n{meaning(report, judged)}")
        return
    document = plain(ComparisonReport, report)
    more = {"checks": plain(tuple[CheckResult, ...], tuple(judged)), "meaning": meaning(report, judged)}
    typer.echo(dumped(document | more, output.value))


def sides(status: RolloutStatus) -> tuple[str | None, str | None]:
    """The versions that are compared when none are named; None where the monitor may choose the newest."""
    live = status.stable.id if status.stable else None
    if status.candidate is not None:
        return live, status.candidate.revision.id
    if status.phase is Phase.HEALTHY and len(status.revisions) > 1:
        return status.revisions[1].id, live  # it has taken over: how does it compare with the one before?
    return live, None


def drift(
    session: Session,
    name: Name,
    *,
    version: Annotated[str | None, typer.Option(help="Of this version; else the newest.", show_default=False)] = None,
    window: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest requests.")] = 1_000,
    report: Annotated[
        Path | None, typer.Option(help="Write Evidently's report to this HTML file, too.", show_default=False)
    ] = None,
    output: Output = None,
) -> None:
    """Show whether inputs and predictions moved away from the reference.

    That is the profile that came with the model, else the version's first requests.
    """
    from monitor.answers.moves import VersionDrift  # noqa: PLC0415
    from operators.cli.drifting import drifting  # noqa: PLC0415

    if report is not None:
        from operators.cli import evidentlyreport  # noqa: PLC0415

        evidentlyreport.require()
    session.find(name)
    namespace = session.namespace
    found = ask(session, lambda client: client.drift(namespace, name, version, window=window))
    typer.echo(drifting(found) if output is None else dumped(plain(VersionDrift, found), output.value))
    if report is not None:
        sample = ask(session, lambda client: client.sample(namespace, name, found.version, window=window))
        evidentlyreport.write(sample, report)
        warn(f"{report} is written")


def performance(
    session: Session,
    name: Name,
    since: Annotated[str, typer.Option(help="How far back.")] = "7d",
    bucket: Annotated[str, typer.Option(help="How long each line is, such as 15m, 1h, 1d.")] = "1h",
    output: Output = None,
) -> None:
    """Show how versions did over time, and whether one gets worse."""
    from monitor.answers.history import PerformanceReport  # noqa: PLC0415
    from operators.cli.history import histories  # noqa: PLC0415

    if not _BUCKET.fullmatch(bucket):
        raise typer.BadParameter("write a number with a unit, like 15m, 1h or 1d", param_hint="--bucket")
    session.find(name)
    found = ask(session, lambda client: client.performance(session.namespace, name, seconds_ago(since), bucket))
    typer.echo(histories(found) if output is None else dumped(plain(PerformanceReport, found), output.value))


def events(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Of this rollout; else of all.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with what happens next.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, the newest.")] = 20,
    output: Output = None,
) -> None:
    """Show what happened: promotions and aborts, drift, degradation, faulty data."""
    from monitor.event import Event  # noqa: PLC0415
    from operators.cli.history import happened  # noqa: PLC0415

    if watch and output is not None:
        raise typer.BadParameter("a watch has no end, so it has no such form", param_hint="-o")
    if name is not None:
        session.find(name)

    async def question(client: "MonitorClient") -> None:
        found = [*reversed(await client.events(session.namespace, name, limit=limit))]
        if output is not None:
            typer.echo(dumped({"events": plain(list[Event], found)}, output.value))
        elif found or watch:
            typer.echo(happened(found, time.time()))
        else:
            warn("nothing has happened yet")
        known = {event.key for event in found}
        while watch:
            await asyncio.sleep(LOOK_SECONDS)
            newest = [*reversed(await client.events(session.namespace, name, limit=1_000))]
            fresh = [event for event in newest if event.key not in known]
            known = {event.key for event in newest}
            for line in happened(fresh, time.time()).splitlines()[1:]:
                typer.echo(line)

    ask(session, question)
