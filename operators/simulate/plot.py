"""A result as a picture: who got which share of the requests, what was found, what was decided when."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from operators.api.fields import format_duration
from operators.simulate.result import Moment, Outcome, Result
from operators.status import Verdict
from router.ir import BASIS_POINTS

_LEFT, _WIDTH, _TOP, _HEIGHT, _LANE, _PANEL = 130.0, 800.0, 60.0, 220.0, 22.0, 150.0
_SELECTED: Final = "selected"
_VERDICTS: Final = {Verdict.PASS: "#2e9e5b", Verdict.INCONCLUSIVE: "#c9cdd3", Verdict.FAIL: "#d43a3a"}
_COLOURS: Final = ("#2563c9", "#8a94a3", "#b8682a", "#7d4fb3", "#2f8f8f", "#b03a6f", "#7a8a1f", "#4a5a8a")
"""The candidate's, the stable version's, and those of versions that came later."""
_OUTCOMES: Final = {
    Outcome.PROMOTED: "#2e9e5b",
    Outcome.ABORTED: "#d43a3a",
    Outcome.KEPT: "#a97b00",
    Outcome.HELD: "#a97b00",
}
_Lane = tuple[str, list[tuple[float, float, str, str]]]
"""A row's name, and its blocks: where each begins, how wide it is, its colour, and what it says."""
_TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def as_svg(result: Result) -> str:
    """The picture as the text of an SVG file."""
    checks = list(dict.fromkeys(name for moment in result.moments for name, _ in moment.checks))
    lanes = [_lane(result, name) for name in checks]
    if any(moment.selected is not None for moment in result.moments):
        lanes.append(_selections(result))
    bottom = _TOP + _HEIGHT + _LANE * len(lanes) + (_PANEL if result.arms else 0.0)
    width, height = _LEFT + _WIDTH + 30, bottom + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_head(result),
        *_axes(result.end, bottom),
        *_marks(result, bottom),
        *_shares(result),
        *(line for row, lane in enumerate(lanes) for line in _placed(lane, _TOP + _HEIGHT + _LANE * row)),
        *(_arms(result, bottom - _PANEL) if result.arms else ()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _head(result: Result) -> Iterator[str]:
    title = f"modelrollout/{result.name}: {result.outcome.value}"
    yield f'<text x="{_LEFT}" y="20" font-size="15" fill="{_OUTCOMES[result.outcome]}">{escape(title)}</text>'
    x = _LEFT
    names = {version: f"{name} " for name, version in result.variants}
    for version, colour in _colours(result).items():
        label = f"{names.get(version, '')}{version}"
        yield f'<rect x="{x:g}" y="32" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 17, 42, label)
        x += 50 + 7 * len(label)
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


def _span(result: Result, since: float, until: float) -> tuple[float, float]:
    """Where a time begins, and how wide it is."""
    x = _x(since, result.end)
    return x, _x(until, result.end) - x


def _placed(lane: _Lane, top: float) -> Iterator[str]:
    """A row of coloured times below the shares."""
    name, blocks = lane
    yield _text(_LEFT - 8, top + 16, name, "end")
    for x, width, colour, words in blocks:
        yield (
            f'<rect x="{x:.1f}" y="{top + 5:g}" width="{max(width, 4):.1f}" height="{_LANE - 8:g}" '
            f'fill="{colour}"><title>{escape(words)}</title></rect>'
        )


def _lane(result: Result, check: str) -> _Lane:
    """What one check said over time. A verdict that ends a step lasts a moment: it is drawn last, and wide enough."""
    found = [(dict(moment.checks).get(check), moment.at, until) for moment, until in _spans(result)]
    blocks = [
        (*_span(result, since, until), _VERDICTS[verdict], f"{check}: {verdict.value}")
        for verdict, since, until in sorted(found, key=lambda one: one[0] is not Verdict.INCONCLUSIVE)
        if verdict is not None
    ]
    return check, blocks


def _selections(result: Result) -> _Lane:
    """When selected requests went to a version of their own."""
    colours = _colours(result)
    blocks = [
        (*_span(result, moment.at, until), colours[moment.selected], f"{_SELECTED}: {moment.selected}")
        for moment, until in _spans(result)
        if moment.selected is not None
    ]
    return _SELECTED, blocks


def _arms(result: Result, top: float) -> Iterator[str]:
    """The mean of every version of the experiment over time, within its interval."""
    found = [arm for moment in result.moments for arm in moment.arms]
    ends = [end for arm in found for end in (arm.value, arm.low, arm.high) if end is not None]
    if not ends:
        return
    low, high, colours = min(ends), max(ends), _colours(result)

    def points(values: Iterable[tuple[float, float]]) -> str:
        scale = (_PANEL - 40) / ((high - low) or 1.0)
        return " ".join(f"{_x(at, result.end):.1f},{top + 25 + (high - value) * scale:.1f}" for at, value in values)

    for value, y in ((high, top + 25), (low, top + _PANEL - 15)):
        yield f'<path d="M{_LEFT:g} {y:g}h{_WIDTH:g}" stroke="#e5e8ec"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:.3g}", "end")
    yield _text(_LEFT - 8, top + _PANEL / 2, "mean", "end")
    for name, version in [(arm.name, arm.version) for arm in result.arms]:
        seen = [(moment.at, arm) for moment in result.moments for arm in moment.arms if arm.version == version]
        upper = [(at, arm.high) for at, arm in seen if arm.high is not None]
        lower = [(at, arm.low) for at, arm in seen if arm.low is not None]
        means = [(at, arm.value) for at, arm in seen if arm.value is not None]
        colour = colours[version]
        yield f'<polygon points="{points([*upper, *reversed(lower)])}" fill="{colour}" fill-opacity="0.12"/>'
        yield f'<polyline points="{points(means)}" fill="none" stroke="{colour}" stroke-width="1.5">'
        yield f"<title>{escape(name)}</title></polyline>"


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
