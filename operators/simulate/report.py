"""A result for people and for programs."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import IO, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from operators.api.fields import format_duration
from operators.api.strategies import CONTROL
from operators.simulate.result import Moment, Outcome, Result
from operators.status import Arm, Phase, Verdict
from router.ir import BASIS_POINTS

_MOVED: Final = BASIS_POINTS // 10
"""A share that has moved so far since the last line is worth another one, though nobody says a word."""
_UNWRAPPED: Final = 10_000
"""The width of a line that goes to no terminal: nothing is broken, so that it can be searched."""
_WORST_FIRST: Final = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_STYLES: Final = {
    Verdict.PASS.value: "green",
    Verdict.FAIL.value: "red",
    Phase.HEALTHY.value: "green",
    Phase.DEGRADED.value: "red",
    Outcome.PROMOTED.value: "bold green",
    Outcome.ABORTED.value: "bold red",
    Outcome.KEPT.value: "bold yellow",
    Outcome.HELD.value: "bold yellow",
}


def as_text(result: Result, file: IO[str], given: bool) -> None:
    """Print the timeline, the outcome and what users saw. `given`: the stable version is a manifest's, not invented."""
    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console.width = _UNWRAPPED
    invented = not given and not result.variants
    beside = f"{result.stable} (stands for the version that is stable now)" if invented else result.stable
    tried = [f"{name} ({version})" for name, version in result.variants] or [result.candidate]
    _print(console, f"modelrollout/{result.name}: {', '.join(tried)} beside {beside}, seed {result.seed}", "")
    if result.taken_as_good:
        _print(console, f"not simulated, taken as good: {', '.join(result.taken_as_good)}", "")
    _print(console, _timeline(result))
    outcome = Text.assemble(
        (result.outcome.value, _STYLES[result.outcome.value]), f" {_when(result)}: {result.message}"
    )
    _print(console, "", outcome, "", _versions(result))
    if result.arms:
        _print(console, "", _arms(result))
    share = result.errors / result.requests if result.requests else 0.0
    none = f", {result.unanswered:,} of them because no version could answer" if result.unanswered else ""
    errors = f"{result.errors:,} of {result.requests:,} requests ({share * 100:.3g} %)"
    _print(console, "", f"errors that users saw: {errors}{none}")


def as_json(result: Result) -> str:
    """The result as JSON: times in seconds since the manifest was applied, shares in percent."""
    content = {
        "name": result.name,
        "seed": result.seed,
        "outcome": result.outcome.value,
        "at": result.at,
        "end": result.end,
        "message": result.message,
        "stable": result.stable,
        "candidate": result.candidate,
        "variants": dict(result.variants),
        "experiment": [_arm(arm) for arm in result.arms],
        "requests": result.requests,
        "errors": result.errors,
        "unanswered": result.unanswered,
        "takenAsGood": list(result.taken_as_good),
        "versions": [
            {"failedCopies" if name == "failed_copies" else name: value for name, value in asdict(version).items()}
            for version in result.totals
        ],
        "timeline": [
            {
                "at": moment.at,
                "phase": moment.phase.value,
                "step": moment.step,
                "weight": _percent(moment.weight),
                "shadow": _percent(moment.shadow),
                "weights": {version: _percent(weight) for version, weight in moment.weights},
                "selected": moment.selected,
                "checks": {name: verdict.value for name, verdict in moment.checks},
                "experiment": [_arm(arm) for arm in moment.arms],
                "notes": list(moment.notes),
            }
            for moment in result.moments
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _when(result: Result) -> str:
    if result.outcome is Outcome.HELD:
        return f"until the end after {_time(result.end)}"
    return f"after {_time(result.at)}"


def _arm(arm: Arm) -> dict[str, object]:
    """One version of an experiment, as JSON has it."""
    return {
        "name": arm.name,
        "version": arm.version,
        "weight": _percent(arm.weight),
        "samples": arm.counted.count,
        "value": arm.value,
        "low": arm.low,
        "high": arm.high,
        "best": arm.best,
    }


def _timeline(result: Result) -> Table:
    columns = _columns(result)
    table = _table("TIME", "PHASE", *columns, "CHECKS", "WHAT")
    before = shown = result.moments[0]
    for moment in result.moments:
        notes = [*_passing(before, moment), *moment.notes]
        said = notes or (before.phase, _worst(before)) != (moment.phase, _worst(moment))
        if moment is shown or said or _moved(result, shown, moment):
            cells = [column(moment) for column in columns.values()]
            what = Text("\n".join(notes))
            table.add_row(_time(moment.at), _coloured(moment.phase.value), *cells, _worst(moment), what)
            shown = moment
        before = moment
    return table


def _columns(result: Result) -> Mapping[str, Callable[[Moment], str]]:
    """What each moment says about shares: what the candidate is meant to get, or what control and variants do get."""
    if not result.variants:
        return {"CANDIDATE": _candidate, "SHADOW": _shadow}
    arms = [(CONTROL, result.candidate), *result.variants]
    return {name.upper(): partial(_given, version) for name, version in arms}


def _given(version: str, moment: Moment) -> str:
    return f"{_percent(dict(moment.weights).get(version, 0)):g}%"


def _candidate(moment: Moment) -> str:
    """What the candidate is meant to get, when there is one."""
    if moment.phase in (Phase.HEALTHY, Phase.DEGRADED):
        return "-"
    bar = (
        "+ selected"
        if moment.selected is not None and moment.weight < BASIS_POINTS
        else "█" * round(10 * moment.weight / BASIS_POINTS)
    )
    return f"{_percent(moment.weight):g}%".ljust(6) + bar


def _shadow(moment: Moment) -> str:
    return "-" if moment.phase in (Phase.HEALTHY, Phase.DEGRADED) else f"{_percent(moment.shadow):g}%"


def _moved(result: Result, before: Moment, after: Moment) -> bool:
    """Whether what is shown of the shares has changed much."""
    if not result.variants:
        return abs(before.weight - after.weight) >= _MOVED
    known = dict(before.weights)
    return any(abs(known.get(version, 0) - weight) >= _MOVED for version, weight in after.weights)


def _passing(before: Moment, after: Moment) -> Iterator[str]:
    """Checks that passed just now. Those that failed are told by the decision that follows from it."""
    known = dict(before.checks)
    names = [name for name, one in after.checks if one is Verdict.PASS and known.get(name) is not Verdict.PASS]
    if names:
        yield f"{' and '.join(names)}: Pass"


def _versions(result: Result) -> Table:
    variants = {version: name for name, version in result.variants}
    roles = {result.candidate: "candidate", result.stable: "stable", **variants}
    table = _table("VERSION", "AT FIRST", "REQUESTS", "ERRORS", "COPIES", "ERRORS")
    for version in result.totals:
        numbers = (version.requests, version.errors, version.copies, version.failed_copies)
        table.add_row(version.version, roles.get(version.version, "-"), *(f"{number:,}" for number in numbers))
    return table


def _arms(result: Result) -> Table:
    """What the experiment has found in the end."""
    table = _table("EXPERIMENT", "VERSION", "WEIGHT", "SAMPLES", "MEAN", "FROM", "TO", "BEST")
    for arm in result.arms:
        weight, samples = f"{_percent(arm.weight):g}%", f"{arm.counted.count:,}"
        numbers = (_number(number) for number in (arm.value, arm.low, arm.high, arm.best))
        table.add_row(arm.name, arm.version, weight, samples, *numbers)
    return table


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column != "WHAT", overflow="fold")
    return table


def _print(console: Console, *lines: str | Text | Table) -> None:
    """Print without the blanks that a table has at the ends of its lines."""
    with console.capture() as captured:
        for line in lines:
            console.print(line, markup=False)
    for text in captured.get().splitlines():
        console.file.write(f"{text.rstrip()}\n")


def _coloured(word: str) -> Text:
    return Text(word, style=_STYLES.get(word, ""))


def _worst(moment: Moment) -> Text:
    found = {verdict for _, verdict in moment.checks}
    return next((_coloured(verdict.value) for verdict in _WORST_FIRST if verdict in found), Text("-"))


def _percent(basis_points: int) -> float:
    return basis_points * 100 / BASIS_POINTS


def _time(seconds: float) -> str:
    return format_duration(round(seconds))
