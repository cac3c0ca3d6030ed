"""What the fields of a strategy can get wrong together, and with the rest of the spec."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from operators.api.fields import basis_points
from operators.api.problem import Problem
from operators.api.revision import revision_of
from operators.api.strategies import (
    CANDIDATE,
    CONTROL,
    AbTest,
    Bandit,
    BlueGreen,
    Canary,
    GoalMetric,
    Shadow,
    Step,
    Strategy,
)
from operators.api.types import ModelRollout, RolloutSpec

STRATEGIES: Final = ("canary", "blueGreen", "shadow", "abTest", "bandit")
"""All strategies of the API."""
STEP_KINDS: Final = ("setWeight", "setShadow", "setReplicas", "pause", "analysis")
RESERVED: Final = (CONTROL, CANDIDATE)
"""Names that an experiment has for versions of its own."""
SIZED_BESIDE_AUTOSCALING: Final = "is for a fixed number: with spec.serving.autoscaling the size follows the requests"
_WHOLE: Final = 10_000
"""Basis points."""


def broken_strategy_rules(rollout: ModelRollout) -> Iterator[Problem]:
    """All that is wrong with the strategy and the variants."""
    spec, strategy = rollout.spec, rollout.spec.strategy
    given = given_strategies(strategy)
    if strategy is not None and len(given) != 1:
        found = f"are {' and '.join(given)}" if given else "is none"
        yield Problem("spec.strategy", f"names exactly one of {', '.join(STRATEGIES)}; here {found}")
    elif strategy is not None:
        field = f"spec.strategy.{given[0]}"
        if strategy.canary is not None:
            yield from _canary(field, strategy.canary, spec)
        if strategy.blue_green is not None:
            yield from _blue_green(field, strategy.blue_green, spec)
        if strategy.shadow is not None:
            yield from _shadow(field, strategy.shadow, spec)
        if strategy.ab_test is not None:
            yield from _ab_test(field, strategy.ab_test, spec)
        if strategy.bandit is not None:
            yield from _bandit(field, strategy.bandit, spec)
    yield from _variants(rollout, given)


def given_strategies(strategy: Strategy | None) -> list[str]:
    """The names of the strategies that a manifest names."""
    if strategy is None:
        return []
    blocks = (strategy.canary, strategy.blue_green, strategy.shadow, strategy.ab_test, strategy.bandit)
    return [name for name, block in zip(STRATEGIES, blocks, strict=True) if block is not None]


def _canary(field: str, canary: Canary, spec: RolloutSpec) -> Iterator[Problem]:
    weight = shadow = 0.0
    for index, step in enumerate(canary.steps):
        place = f"{field}.steps[{index}]"
        given = [name for name, value in zip(STEP_KINDS, _values(step), strict=True) if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            yield Problem(place, f"must be exactly one of {', '.join(STEP_KINDS)}; here is {found}")
            continue
        if step.set_weight is not None:
            if step.set_weight < weight:
                yield Problem(
                    f"{place}.setWeight",
                    f"falls from {weight:g} to {step.set_weight:g}: weights must not fall along the steps "
                    "(a candidate that should get less is aborted)",
                )
            weight = step.set_weight
        elif step.set_shadow is not None:
            shadow = step.set_shadow
        elif step.set_replicas is not None:
            if spec.serving.autoscaling is not None:
                yield Problem(f"{place}.setReplicas", SIZED_BESIDE_AUTOSCALING)
            elif step.set_replicas > spec.serving.replicas:
                yield Problem(
                    f"{place}.setReplicas",
                    f"is {step.set_replicas}, more than the stable version's: spec.serving.replicas is "
                    f"{spec.serving.replicas}",
                )
        elif step.analysis is not None:
            yield from _analysis(
                f"{place}.analysis", spec, live=weight > 0 or bool(spec.traffic.match), copies=shadow > 0
            )


def _analysis(field: str, spec: RolloutSpec, *, live: bool, copies: bool) -> Iterator[Problem]:
    """Whether a step that waits for checks could wait forever."""
    deciding = spec.analysis.deciding
    if not deciding:
        yield Problem(field, f"has nothing to wait for: {_no_checks(spec)}")
    elif not live and not copies:
        yield Problem(
            field, "would wait forever: the candidate gets no requests before a setWeight or setShadow above 0"
        )
    elif not any(check.judged(live, copies) for check in deciding):
        what = "only copies of requests reach" if copies else "only live requests reach"
        yield Problem(field, f"would wait forever: here {what} the candidate, and no check is judged by these")


def _no_checks(spec: RolloutSpec) -> str:
    """Why there is no check that decides anything."""
    return f"spec.analysis.checks {'has dry runs only' if spec.analysis.checks else 'is empty'}"


def _values(step: Step) -> tuple[object, ...]:
    return (step.set_weight, step.set_shadow, step.set_replicas, step.pause, step.analysis)


def _blue_green(field: str, block: BlueGreen, spec: RolloutSpec) -> Iterator[Problem]:
    if block.pre_promotion_analysis is not None:
        if not spec.analysis.deciding:
            yield Problem(f"{field}.prePromotionAnalysis", f"has nothing to wait for: {_no_checks(spec)}")
        if not block.preview_match:
            yield Problem(
                f"{field}.prePromotionAnalysis",
                "would wait forever: the candidate gets no requests before the switch; write previewMatch",
            )
    elif block.preview_match and block.auto_promote:
        yield Problem(
            f"{field}.previewMatch",
            "would last no time, since the switch follows at once: write prePromotionAnalysis, or autoPromote: false",
        )
    if block.post_promotion_analysis is not None and not spec.analysis.deciding:
        yield Problem(f"{field}.postPromotionAnalysis", f"has nothing to watch: {_no_checks(spec)}")


def _shadow(field: str, block: Shadow, spec: RolloutSpec) -> Iterator[Problem]:
    if spec.analysis.deciding:
        return
    if block.then == "promote":
        yield Problem(f"{field}.then", f"has nothing to decide by: {_no_checks(spec)}; write checks, or then: hold")
    if block.max_duration is not None:
        yield Problem(f"{field}.maxDuration", f"means nothing without checks: {_no_checks(spec)}")
    if "min_samples" in block.model_fields_set:
        yield Problem(f"{field}.minSamples", f"means nothing without checks: {_no_checks(spec)}")


def _ab_test(field: str, block: AbTest, spec: RolloutSpec) -> Iterator[Problem]:
    goal = block.goal
    yield from _within(f"{field}.goal.within", goal.metric, goal.within)
    if goal.direction == "decrease" and goal.metric != "feedback-reward":
        yield Problem(f"{field}.goal.direction", f"is decrease, but more {goal.metric} is better: write increase")
    names = [CONTROL, *(variant.name for variant in spec.variants)]
    if not spec.variants:
        if block.shares:
            yield Problem(
                f"{field}.shares", "are for spec.variants; without them write weight, the candidate's percent"
            )
        return
    if block.weight is not None:
        yield Problem(f"{field}.weight", f"is for a test without variants; write {_equal_shares(names)}")
    if not block.shares:
        yield Problem(
            f"{field}.shares", f"is required with variants: everybody's percent, as in {_equal_shares(names)}"
        )
    elif set(block.shares) != set(names):
        missing, unknown = sorted(set(names) - set(block.shares)), sorted(set(block.shares) - set(names))
        parts = [f"leaves out {' and '.join(missing)}"] if missing else []
        parts += [f"names {' and '.join(unknown)}, which spec.variants does not"] if unknown else []
        yield Problem(f"{field}.shares", f"{'; '.join(parts)}: as in {_equal_shares(names)}")
    elif sum(map(basis_points, block.shares.values())) != _WHOLE:
        yield Problem(f"{field}.shares", f"is {sum(block.shares.values()):g} in all; 100 is needed")
    for name, share in block.shares.items():
        if share == 0:
            yield Problem(f"{field}.shares.{name}", "is 0: a version without requests cannot be compared")


def _equal_shares(names: Sequence[str]) -> str:
    share, rest = divmod(100, len(names))
    return f"shares: {{{', '.join(f'{name}: {share + (index < rest)}' for index, name in enumerate(names))}}}"


def _bandit(field: str, block: Bandit, spec: RolloutSpec) -> Iterator[Problem]:
    yield from _within(f"{field}.within", block.reward, block.within)
    versions = len(spec.variants) + 1 if spec.variants else 2
    if basis_points(block.exploration_floor) * versions > _WHOLE:
        yield Problem(
            f"{field}.explorationFloor",
            f"is {block.exploration_floor:g} for each of {versions} versions, more than 100 in all: "
            f"at most {_WHOLE // versions / 100:g} is possible",
        )


def _within(field: str, metric: GoalMetric, within: float | None) -> Iterator[Problem]:
    if metric == "latency-within" and within is None:
        yield Problem(field, "is required with latency-within: how long is soon enough, such as 50ms")
    elif metric != "latency-within" and within is not None:
        yield Problem(field, f"is for latency-within; with {metric} it means nothing")


def _variants(rollout: ModelRollout, given: Sequence[str]) -> Iterator[Problem]:
    spec = rollout.spec
    if not spec.variants:
        return
    if not {"abTest", "bandit"} & {*given}:
        found = given[0] if given else "no strategy"
        yield Problem("spec.variants", f"are for abTest and bandit; with {found} nothing would run them")
    names = Counter(variant.name for variant in spec.variants)
    known = {revision_of(rollout).id: "spec.model"}
    for index, variant in enumerate(spec.variants):
        if variant.name in RESERVED:
            yield Problem(
                f"spec.variants[{index}].name",
                f"is {variant.name}, which is what a version of every experiment is called: choose another",
            )
        if names[variant.name] > 1:
            continue  # whose version is meant by the name is not known
        version = revision_of(rollout, variant.name).id
        if version in known:
            yield Problem(
                f"spec.variants[{index}].model",
                f"is the same version as {known[version]}: there is nothing to compare",
            )
        known.setdefault(version, f"that of {variant.name}")
