"""Plain text for people: times, shares and tables as kubectl writes them."""

from collections.abc import Iterable, Sequence

from operators.analysis import worst
from operators.api.fields import format_time
from operators.status import Arm, CheckResult, RolloutStatus
from router.ir import BASIS_POINTS

NOTHING = "-"
"""What a cell shows that has nothing to show."""

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def age(seconds: float) -> str:
    """A span of time in its largest one or two units: 45s, 3m20s, 5h, 12d."""
    left = max(int(seconds), 0)
    for index, (unit, size) in enumerate(_UNITS):
        if left >= size:
            whole, rest = divmod(left, size)
            if whole >= 10 or index + 1 == len(_UNITS):
                return f"{whole}{unit}"
            smaller, smaller_size = _UNITS[index + 1]
            return f"{whole}{unit}{rest // smaller_size}{smaller}" if rest >= smaller_size else f"{whole}{unit}"
    return "0s"


def moment(at: float) -> str:
    """A time in seconds since the epoch, to the second."""
    return format_time(round(at)).replace(".000", "")


def percent(basis_points: int) -> str:
    """A share as people say it: 25%, 0.5%."""
    return f"{basis_points * 100 / BASIS_POINTS:g}%"


def verdict(checks: Sequence[CheckResult]) -> str:
    """The worst verdict of all checks that have a say."""
    found = worst(checks)
    return NOTHING if found is None else found.value


def standing(check: CheckResult) -> str:
    """A check's verdict, and why it has no say if it has none."""
    remarks = [*(["dry run"] if check.dry_run else []), *(["not judged in this step"] if check.idle else [])]
    return f"{check.verdict.value} ({', '.join(remarks)})" if remarks else check.verdict.value


def stable_weight(status: RolloutStatus) -> int:
    """What the stable version is meant to get, in basis points: what nobody else does."""
    return BASIS_POINTS - status.weight - sum(variant.weight for variant in status.variants)


def estimate(arm: Arm) -> tuple[str, str, str]:
    """A version's mean in an experiment, its interval, and the probability that the version is the best."""
    between = arm.low is not None or arm.high is not None
    return (
        number(arm.value),
        f"{number(arm.low, 'any')} to {number(arm.high, 'any')}" if between else NOTHING,
        NOTHING if arm.best is None else f"{100 * arm.best:.3g}%",
    )


def number(value: float | None, nothing: str = NOTHING) -> str:
    """A figure to four digits, and what to say where there is none."""
    return nothing if value is None else f"{value:.4g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, three spaces between them, none behind the last."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def indented(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """The rows in columns, without a head of their own."""
    if not rows:
        return ""
    return "\n".join(f"{indent}{line}" for line in table(rows[0], rows[1:]).splitlines())


def sections(parts: Iterable[tuple[str, str]]) -> str:
    """Texts below their titles; one without a title stands alone, and one that is empty is left out."""
    return "\n\n".join(f"{title}:\n{text}" if title else text for title, text in parts if text)
