"""A result as a picture: who got which share of the requests, what the checks said, what was decided when."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from operators.api.fields import format_duration
from operators.simulate.result import Moment, Outcome, Result
from operators.status import Verdict
from router.ir import BASIS_POINTS

_LEFT, _WIDTH, _TOP, _HEIGHT, _LANE = 130.0, 800.0, 60.0, 220.0, 22.0
_VERDICTS: Final = {Verdict.PASS: "#2e9e5b", Verdict.INCONCLUSIVE: "#c9cdd3", Verdict.FAIL: "#d43a3a"}
_COLOURS: Final = ("#2563c9", "#8a94a3", "#b8682a", "#7d4fb3", "#2f8f8f")
"""The candidate's, the stable version's, and those of versions that came later."""
_OUTCOMES: Final = {Outcome.PROMOTED: "#2e9e5b", Outcome.ABORTED: "#d43a3a", Outcome.HELD: "#a97b00"}
_TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def as_svg(result: Result) -> str:
    """The picture as the text of an SVG file."""
    checks = list(dict.fromkeys(name for moment in result.moments for name, _ in moment.checks))
    bottom = _TOP + _HEIGHT + _LANE * len(checks)
    width, height = _LEFT + _WIDTH + 30, bottom + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_head(result),
        *_axes(result.end, bottom),
        *_marks(result, bottom),
        *_shares(result),
        *(line for row, name in enumerate(checks) for line in _lane(result, name, _TOP + _HEIGHT + _LANE * row)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _head(result: Result) -> Iterator[str]:
    title = f"modelrollout/{result.name}: {result.outcome.value}"
    yield f'<text x="{_LEFT}" y="20" font-size="15" fill="{_OUTCOMES[result.outcome]}">{escape(title)}</text>'
    x = _LEFT
    for version, colour in _colours(result).items():
        yield f'<rect x="{x:g}" y="32" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 17, 42, version)
        x += 120
    yield f'<path d="M{x:g} 38h14" stroke="{_COLOURS[0]}" stroke-width="2" stroke-dasharray="2 3"/>'
    yield _text(x + 19, 42, "copied")


def _axes(end: float, bottom: float) -> Iterator[str]:
    for share in (0, 25, 50, 75, 100):
        y = _y(share * BASIS_POINTS // 100)
        yield f'<path d="M{_LEFT:g} {y:g}h{_WIDTH:g}" stroke="#e5e8ec"/>'
        yield _text(_LEFT - 8, y + 4, f"{share} %", "end")
    step = next((tick for tick in _TICKS if end / tick <= 9), _TICKS[-1] * max(round(end / _TICKS[-1] / 8), 1))
    for tick in range(0, int(end) + 1, step):
        x = _x(tick, end)
        yield f'<path d="M{x:.1f} {bottom:g}v5" stroke="#5c6470"/>'
        yield _text(x, bottom + 20, format_duration(tick), "middle")


def _marks(result: Result, bottom: float) -> Iterator[str]:
    """A line at everything that was decided or happened; a browser shows what when the mouse is on it."""
    for moment in result.moments:
        if moment.notes:
            x, words = _x(moment.at, result.end), escape("\n".join(moment.notes))
            yield f'<path d="M{x:.1f} {_TOP:g}V{bottom:g}" stroke="#9aa3af" stroke-width="1.5" stroke-opacity="0.5">'
            yield f"<title>{words}</title></path>"


def _shares(result: Result) -> Iterator[str]:
    for version, colour in _colours(result).items():
        values = [dict(moment.weights).get(version, 0) for moment in result.moments]
        yield f'<path d="{_steps(result, values)}" fill="none" stroke="{colour}" stroke-width="2"/>'
    values = [moment.shadow for moment in result.moments]
    yield (
        f'<path d="{_steps(result, values)}" fill="none" stroke="{_COLOURS[0]}" stroke-width="2" '
        'stroke-dasharray="2 3"/>'
    )


def _steps(result: Result, values: Sequence[int]) -> str:
    """A line that keeps each moment's value until the next one."""
    corners = [f"M{_x(0, result.end):.1f} {_y(values[0]):.1f}"]
    for moment, value in zip(result.moments, values, strict=True):
        corners.append(f"H{_x(moment.at, result.end):.1f}V{_y(value):.1f}")
    return "".join([*corners, f"H{_x(result.end, result.end):.1f}"])


def _lane(result: Result, check: str, top: float) -> Iterator[str]:
    """What one check said over time. A verdict that ends a step lasts a moment: it is drawn last, and wide enough."""
    yield _text(_LEFT - 8, top + 16, check, "end")
    found = [(dict(moment.checks).get(check), moment.at, until) for moment, until in _spans(result)]
    for verdict, since, until in sorted(found, key=lambda one: one[0] is not Verdict.INCONCLUSIVE):
        if verdict is not None:
            x, width = _x(since, result.end), _x(until, result.end) - _x(since, result.end)
            yield (
                f'<rect x="{x:.1f}" y="{top + 5:g}" width="{max(width, 4):.1f}" height="{_LANE - 8:g}" '
                f'fill="{_VERDICTS[verdict]}"><title>{escape(check)}: {verdict.value}</title></rect>'
            )


def _spans(result: Result) -> Iterator[tuple[Moment, float]]:
    """Each moment, and until when it lasts."""
    yield from ((one, other.at) for one, other in pairwise(result.moments))
    yield result.moments[-1], result.end


def _colours(result: Result) -> dict[str, str]:
    later = (version.version for version in result.totals)
    versions = dict.fromkeys((result.candidate, result.stable, *later))
    return {version: _COLOURS[index % len(_COLOURS)] for index, version in enumerate(versions)}


def _x(at: float, end: float) -> float:
    return _LEFT + (_WIDTH * at / end if end else 0.0)


def _y(basis_points: int) -> float:
    return _TOP + (_HEIGHT - 20) * (1 - basis_points / BASIS_POINTS) + 5


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#3b424c" text-anchor="{anchor}">{escape(words)}</text>'
