"""What every command does in every situation: played in the world, told in a sentence, kept in a table.

`played` puts a world into a situation, gives a command and tells what came of it, from nothing but what can be seen:
the answer, the weights that the routers are given, the phase. `semantics.yaml` holds what it must tell;
`test_semantics.py` compares. Run as a program it writes the page `docs/semantics.md` (`make semantics`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from core_world import ERRORS, World, canary, counters, model

from operators.api.fields import format_share

_TABLES: Final = tuple(yaml.safe_load_all(Path(__file__).with_name("semantics.yaml").read_text(encoding="utf-8")))
EXPECTED: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = _TABLES[0]
"""Per situation and command: the word for the overview, and the sentence."""
ROWS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = _TABLES[1]
"""Per situation in which the operator acts by itself: the tests that show what it does, by where they play."""
_TESTS: Final = Path(__file__).parents[2]
PLACES: Final = {"core": _TESTS / "unit" / "core", "stack": _TESTS / "integration" / "stack"}
"""The folders of the tests in `ROWS`."""
PAGE: Final = Path(__file__).parents[3] / "docs" / "semantics.md"
CHECKS: Final = {"interval": "10s", "checks": [ERRORS]}
PREVIEW: Final = [{"header": "x-preview"}]
GOAL: Final = {"metric": "success-rate"}
SHARES: Final = {"control": 50, "b": 30, "c": 20}
VARIANTS: Final = [{"name": "b", "model": model(3)}, {"name": "c", "model": model(4)}]
PERSON, TIMED, ANALYSED = (
    canary({"setWeight": 10}, wait, {"setWeight": 50}, {"pause": {}})
    for wait in ({"pause": {}}, {"pause": {"duration": "1h"}}, {"analysis": {"minSamples": 500}})
)
BLUE_GREEN: Final = {
    "blueGreen": {"previewMatch": PREVIEW, "prePromotionAnalysis": {}, "postPromotionAnalysis": {"minSamples": 500}}
}


def at_rest() -> World:
    """v2 is stable, v1 was before it."""
    world = World({"model": model(1), "analysis": CHECKS}).settle()
    world.apply(model=model(2))
    world.settle()
    return world.settle(60)


def rolling(strategy: dict[str, Any] | None, **spec: Any) -> World:
    """v3 is rolled out beside them."""
    world = at_rest()
    world.apply(model=model(3), strategy=strategy, **spec)
    return world.settle()


def experiment(strategy: dict[str, Any]) -> World:
    """v3 and v4 are tried as variants b and c."""
    world = at_rest()
    world.apply(strategy=strategy, variants=VARIANTS)
    return world.settle()


def first() -> World:
    """v1 is the first version and does not answer yet."""
    world = World({"model": model(1), "analysis": CHECKS})
    world.stuck.add(world.id(1))
    return world.settle()


def starting() -> World:
    """v3 does not answer yet."""
    world = at_rest()
    world.stuck.add(world.id(3))
    world.apply(model=model(3), strategy=PERSON)
    return world.settle()


def paused() -> World:
    """`spec.paused` in a pause step."""
    world = rolling(PERSON)
    world.apply(paused=True)
    return world.settle()


def unacknowledged() -> World:
    """The routers were told that v3 gets everything, and have not answered."""
    world = rolling(PERSON)
    world.say("promote", "full")
    world.lag_once(lambda: world.status.weight == 10_000)
    return world.settle()


def after_the_switch() -> World:
    """v3 has everything and is watched."""
    world = rolling(BLUE_GREEN)
    world.saw(3, counters(1_000))
    return world.settle(10)


def shadow_holding() -> World:
    """The copies that v3 answered have passed the checks."""
    world = rolling({"shadow": {}})
    world.saw(3, mirrored=counters(1_000))
    return world.settle(10)


def test_won() -> World:
    """v3 is surely better."""
    world = rolling({"abTest": {"goal": GOAL}})
    world.saw(2, counters(2_000, errors=400))
    world.saw(3, counters(2_000))
    return world.settle(10)


def variants_starting() -> World:
    """v4 does not answer yet."""
    world = at_rest()
    world.stuck.add(world.id(4))
    world.apply(strategy={"abTest": {"shares": SHARES, "goal": GOAL}}, variants=VARIANTS)
    return world.settle()


def variants_won() -> World:
    """c is surely the best."""
    world = experiment({"abTest": {"shares": SHARES, "goal": GOAL}})
    for number, errors in ((2, 70), (3, 70), (4, 0)):
        world.saw(number, counters(4_000, errors=errors))
    return world.settle(10)


def aborted() -> World:
    """v3 was aborted a minute ago."""
    world = rolling(PERSON)
    world.say("abort")
    world.settle()
    return world.settle(60)


def undone() -> World:
    """v3 was promoted and taken back, v2 serves again."""
    world = rolling(None)
    world.settle(60)
    world.say("undo")
    world.settle()
    return world.settle(60)


def just_promoted() -> World:
    """v3 has just been promoted, the replicas of v2 still run."""
    return rolling(None).settle(10)


def unreachable() -> World:
    """Ray Serve does not answer while a canary is in a pause step."""
    world = rolling(PERSON)
    world.reachable = False
    return world.settle()


SITUATIONS: Final[Mapping[str, Callable[[], World]]] = {
    "first version starting": first,
    "at rest": at_rest,
    "candidate starting": starting,
    "canary in a pause step": lambda: rolling(PERSON),
    "canary in a timed pause": lambda: rolling(TIMED),
    "canary in an analysis": lambda: rolling(ANALYSED),
    "canary paused by the spec": paused,
    "all steps done, not acknowledged": unacknowledged,
    "blue-green previewing": lambda: rolling(BLUE_GREEN),
    "blue-green after the switch": after_the_switch,
    "shadow holding": shadow_holding,
    "A/B test running": lambda: rolling({"abTest": {"goal": GOAL}}),
    "A/B test with a winner held": test_won,
    "variants starting": variants_starting,
    "variants running": lambda: experiment({"abTest": {"shares": SHARES, "goal": GOAL}}),
    "variants with a winner held": variants_won,
    "bandit running": lambda: rolling({"bandit": {"reward": "success-rate"}}),
    "aborted": aborted,
    "undone": undone,
    "within the scale-down delay": just_promoted,
    "Ray unreachable": unreachable,
}


def despite_a_check(world: World, force: str = "") -> None:
    """A promotion while a check fails; among variants that of the one that fails it."""
    wrong = counters(1_000, errors=500)
    world.saw(3, wrong, wrong)
    world.now += 10
    world.say("promote", ("variant=b" if world.status.variants else "step") + force)


COMMANDS: Final[Mapping[str, Callable[[World], None]]] = {
    "promote": lambda world: world.say("promote", "step"),
    "promote --full": lambda world: world.say("promote", "full"),
    "promote while a check fails": despite_a_check,
    "promote --force while a check fails": lambda world: despite_a_check(world, ",force"),
    "promote --variant b": lambda world: world.say("promote", "variant=b"),
    "abort": lambda world: world.say("abort"),
    "retry": lambda world: world.say("retry"),
    "undo": lambda world: world.say("undo"),
    "undo --to v1": lambda world: world.say("undo", world.id(1)),
    "pause": lambda world: world.apply(paused=True),
    "resume": lambda world: world.apply(paused=False),
}

WORDS: Final = {
    "Promoted": "promoted",
    "Aborted": "aborted",
    "TakenOut": "taken out",
    "Ended": "ended",
    "Started": "started",
    "Retried": "retried",
    "StartedOver": "started over",
    "PromotedByHand": "next step",
    "CommandRefused": "refused",
}
"""Reasons of events for the overview, the one that says most first."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of a command: a word for the overview, and a sentence."""

    word: str
    sentence: str


def played(situation: str, command: str) -> Effect:
    """What the command does in the situation, from what can be seen."""
    world = SITUATIONS[situation]()
    before, known = _traffic(world), len(world.events)
    phase = world.status.phase
    COMMANDS[command](world)
    world.settle()
    after, events = _traffic(world), world.events[known:]
    state = f"{'traffic stays as it is' if after == before else after}; {world.status.phase.value}"
    if world.annotations:
        return Effect("waits", f"It stays unanswered; {state}.")
    refusal = next((event for event in events if event.reason == "CommandRefused"), None)
    if refusal is not None and len(events) == 1 and (after, world.status.phase) == (before, phase):
        return Effect("refused", f"Refused: {_named(world, refusal.message.partition(': ')[2])}.")
    said = [event.message.partition(";")[0] for event in events if event.reason not in ("Step", "Comparing")]
    word = next((word for reason, word in WORDS.items() if reason in {event.reason for event in events}), "")
    if not said:
        return Effect(word or _unsaid(before, after, phase.value, world.status.phase.value), f"{_capital(state)}.")
    return Effect(word, f"{_capital('; '.join(_named(world, text) for text in said))}. {_capital(state)}.")


def _unsaid(before: str, after: str, phase: str, now: str) -> str:
    return "–" if (before, phase) == (after, now) else now.lower()


def _traffic(world: World) -> str:
    """What the routers are given, for people."""
    route = world.published
    if route is None:
        return "no route"
    shares = [f"{_named(world, one.version)} {format_share(one.weight)}" for one in route.backends if one.weight]
    text = ", ".join(shares) or "nobody answers"
    if route.mirror is not None:
        text += f", copies for {_named(world, route.mirror.version)}"
    if route.selection is not None:
        text += f", selected requests for {_named(world, route.selection.version)}"
    return text


def _named(world: World, text: str) -> str:
    for number in range(1, 5):
        text = text.replace(world.id(number), f"v{number}")
    return text


def _capital(text: str) -> str:
    """As a sentence begins; versions keep their names."""
    return text if text[1:2].isdigit() else text[:1].upper() + text[1:]


_INTRODUCTION: Final = """\
# What a command does in which situation

This page is generated from tests (`make semantics`): every cell was played against the operator's decisions, and the
build fails when one is not true any more. In all situations v2 is the stable version and v1 was stable before it; v3 is
the candidate, or v3 and v4 are the variants b and c. Only where the first version starts there is none but v1.

How to read it: find the situation in the overview, then the sentence below it: first what the rollout's event says,
then what the routers are given once the command has been carried out and everything that follows from it by itself,
then the phase. *refused* means that the command is answered with an event that says why, and that nothing changes;
*waits*, that it stays on the rollout until it can be answered; –, that there is nothing to do.
"""
_BY_ITSELF: Final = """\
Each situation is shown twice: played against the operator's decisions by tests in `tests/unit/core`, and on a whole
stack, with Ray, Envoy and the control process, by tests in `tests/integration/stack`."""


def page() -> str:
    """The page as the tables say it."""
    lines = [_INTRODUCTION, "## Overview", "", f"| situation | {' | '.join(map(_code, COMMANDS))} |"]
    lines += [f"| --- |{' --- |' * len(COMMANDS)}"]
    for situation in SITUATIONS:
        words = " | ".join(EXPECTED[situation][command][0] for command in COMMANDS)
        lines.append(f"| [{situation}](#{_anchor(situation)}) | {words} |")
    for situation, build in SITUATIONS.items():
        lines += ["", f"## {_capital(situation)}", "", str(build.__doc__ or _SAME[situation]), ""]
        lines += ["| command | effect |", "| --- | --- |"]
        lines += [f"| {_code(command)} | {EXPECTED[situation][command][1]} |" for command in COMMANDS]
    lines += ["", "## What happens by itself", "", _BY_ITSELF, "", "| situation | played | on the stack |"]
    lines += ["| --- | --- | --- |"]
    for row, tests in ROWS.items():
        cells = ("<br>".join(f"`{test}`" for test in tests[place]) for place in PLACES)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_SAME: Final = {
    "canary in a pause step": "v3 has 10 %, and the step waits for a person.",
    "canary in a timed pause": "v3 has 10 %, and the step lasts an hour.",
    "canary in an analysis": "v3 has 10 %, and the step waits until its checks pass on 500 requests.",
    "blue-green previewing": "v3 answers selected requests, and its checks have not passed yet.",
    "A/B test running": "v2 and v3 have half of the requests each.",
    "variants running": "v2 is the control with 50 %, b has 30 %, c has 20 %.",
    "bandit running": "v2 and v3 divide the requests by what they earn.",
}
"""What the situations are that have no builder of their own."""


def _code(command: str) -> str:
    said, when, rest = command.partition(" while ")
    return f"`{said}`{when}{rest}"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
