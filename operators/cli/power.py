"""`tidegate power`: how many samples a comparison needs, before anybody starts it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from operators.cli.asking import ask, plain, seconds_ago
from operators.cli.errors import CliError
from operators.cli.render import dumped
from operators.cli.reports import Output
from operators.cli.session import Session
from operators.cli.text import NOTHING, age, indented, number, sections
from operators.status import RolloutStatus
from router.ir import BASIS_POINTS

if TYPE_CHECKING:
    from monitor.answers.plan import Needed, Plan

LONG_SECONDS: Final = 30 * 86_400.0
"""Records are seldom kept for longer."""


class Metric(StrEnum):
    """What can be planned for."""

    ACCURACY = "feedback-accuracy"
    REWARD = "feedback-reward"
    ERRORS = "error-rate"
    AGREEMENT = "shadow-agreement"


def power(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(help="The rollout's name; not needed with --rate or --sd.", show_default=False)
    ] = None,
    *,
    metric: Annotated[Metric, typer.Option(help="What is to be compared.", show_default=False)],
    effect: Annotated[float, typer.Option(help="The difference to find, such as 0.02.", show_default=False)],
    share: Annotated[
        float | None,
        typer.Option(help="The candidate's part of the requests, above 0; else what it gets now, or half."),
    ] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999, help="How rarely chance may look like it.")] = 0.95,
    power: Annotated[float, typer.Option(min=0.5, max=0.9999, help="How probably it is found.")] = 0.8,
    since: Annotated[
        str | None, typer.Option(help="Learn from the time since, such as 7d.", show_default=False)
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="What is usual; the monitor is not asked.", show_default=False)
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="The standard deviation of rewards; as --rate.", show_default=False)
    ] = None,
    output: Output = None,
) -> None:
    """Show how many labels, rewards, requests or copies it takes to find a difference.

    What is usual is what the monitor knows of the stable version, which also says how long it will take.
    """
    from monitor.answers.plan import Plan  # noqa: PLC0415 - slow to import

    for option, value in (("--effect", effect), ("--share", share), ("--sd", sd)):
        if value is not None and not 0 < value < float("inf"):
            raise typer.BadParameter("must be a number above 0", param_hint=option)
    if share is not None and (share > 1 or (share == 1 and metric is not Metric.AGREEMENT)):
        raise typer.BadParameter("must be below 1, such as 0.25; only copies can be all", param_hint="--share")
    if rate is not None or sd is not None:
        found = _computed(metric, effect, (share, confidence, power), rate, sd)
    elif name is None:
        raise typer.BadParameter("name a rollout, or say what is usual: --rate, or --sd for rewards")
    else:
        status = session.find(name).status
        stable = status.stable.id if status.stable else None
        part = share or _share(status, metric)
        found = ask(
            session,
            lambda client: client.plan(
                session.namespace,
                name,
                metric.value,
                effect,
                share=part,
                confidence=confidence,
                power=power,
                version=stable,
                since=seconds_ago(since),
            ),
        )
    if output is not None:
        typer.echo(dumped(plain(Plan, found), output.value))
        return
    if found.one_look is None or found.watched is None:
        expected = "--sd DEVIATION" if metric is Metric.REWARD else "--rate RATE"
        raise CliError(
            f"no {found.samples} of {found.model}'s stable version are on record, so what is usual is not known",
            f"say it: {session.say(f'power --metric {metric.value} --effect {effect:g} {expected}')}",
        )
    typer.echo(page(found, found.one_look, found.watched))


def page(plan: "Plan", one_look: "Needed", watched: "Needed") -> str:
    """The plan as a table, and what to do."""
    certainty = f"with a probability of {_percent(plan.power)}, at a confidence of {_percent(plan.confidence)}"
    head = f"{plan.model or 'any model'}: to find a difference of {number(plan.effect)} in {plan.metric} {certainty}"
    traffic = NOTHING if plan.traffic is None else f"{number(plan.traffic)} {plan.samples} a second"
    part = "of the requests copied" if plan.metric == Metric.AGREEMENT else "of the traffic for the candidate"
    assumed = [("usual", _usual(plan)), ("traffic", traffic), ("share", f"{_percent(plan.share)} {part}")]
    rows = [
        (name, f"{one.stable:,}", f"{one.candidate:,}", NOTHING if one.seconds is None else age(one.seconds))
        for name, one in (("one look, planned before", one_look), ("watched, at any time", watched))
    ]
    columns = ("TEST", "STABLE", "CANDIDATE", "TAKES")
    return sections(
        (
            ("", head),
            ("What it rests on", indented(assumed)),
            (f"{plan.samples.capitalize()} of each version", indented([columns, *rows])),
            ("", advice(plan, one_look, watched)),
        )
    )


def advice(plan: "Plan", one_look: "Needed", watched: "Needed") -> str:
    """One sentence."""
    if watched.seconds is not None and watched.seconds > LONG_SECONDS:
        return (
            f"What to do: {age(watched.seconds)} is longer than most records are kept: look for a larger difference, "
            "or give the candidate more of the traffic."
        )
    wait = "" if watched.seconds is None else f", about {age(watched.seconds)},"
    return (
        f"What to do: let a check or an experiment watch it until the candidate has {watched.candidate:,} "
        f"{plan.samples}{wait} and often less, or look at `compare` once, at {one_look.candidate:,} and not before."
    )


def _computed(
    metric: Metric,
    effect: float,
    wanted: tuple[float | None, float, float],
    rate: float | None,
    deviation: float | None,
) -> "Plan":
    """The plan by what was said alone. Raises `CliError`."""
    try:
        from monitor.reports.needs import Unplannable, Wish, planned, said  # noqa: PLC0415 - brings scipy

        wish = Wish(metric.value, effect, *wanted)
        try:
            return planned(wish, said(wish, rate, deviation))
        except Unplannable as error:
            raise typer.BadParameter(str(error), param_hint=f"--{error.parameter}") from error
    except ModuleNotFoundError as error:
        install = "install it: pip install 'tidegate[monitor]', or let a monitor compute: leave out --rate and --sd"
        raise CliError(f"{error.name} is not installed", install) from error


def _share(status: RolloutStatus, metric: Metric) -> float | None:
    """What the candidate gets now; None where it gets nothing, or everything."""
    points = status.shadow if metric is Metric.AGREEMENT else status.weight
    return points / BASIS_POINTS if 0 < points < BASIS_POINTS else None


def _usual(plan: "Plan") -> str:
    known = [
        *([] if plan.usual is None else [number(plan.usual)]),
        *([] if plan.deviation is None else [f"standard deviation {number(plan.deviation)}"]),
    ]
    basis = f"{plan.basis:,} {plan.samples} of version {plan.version}" if plan.basis else "as you say"
    return f"{', '.join(known)} ({basis})"


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
