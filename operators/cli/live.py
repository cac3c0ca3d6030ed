"""The picture that `tidegate get -w` draws: a tree per rollout, in colours."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from operators.api import ModelRollout
from operators.cli.text import age, estimate, percent, stable_weight, standing
from operators.status import CheckResult, Experiment, Phase, Verdict
from operators.strategies import strategy_for
from router.ir import BASIS_POINTS

_PHASES = {
    Phase.PENDING: "yellow",
    Phase.HEALTHY: "green",
    Phase.PROGRESSING: "cyan",
    Phase.PAUSED: "yellow",
    Phase.DEGRADED: "bold red",
}
_VERDICTS = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}
_BAR = 20


def forest(rollouts: Sequence[ModelRollout], now: float, namespaces: bool = False) -> RenderableType:
    """All rollouts; `namespaces` puts each one's namespace before its name."""
    if not rollouts:
        return Text("no rollouts")
    return Group(*(_tree(rollout, now, str(rollout.key) if namespaces else rollout.key.name) for rollout in rollouts))


def _tree(rollout: ModelRollout, now: float, name: str) -> Tree:
    status = rollout.status
    head = Text.assemble((name, "bold"), "  ", (status.phase.value, _PHASES[status.phase]))
    if status.message:
        head.append(f"  {status.message}", "dim")
    tree = Tree(head)
    for line in _versions(rollout, now):
        tree.add(line)
    if status.experiment is not None and (status.candidate is not None or status.variants):
        arms = tree.add(Text("experiment"))
        for line in _arms(status.experiment):
            arms.add(line)
    if status.candidate is not None and status.step is not None:
        steps = tree.add(Text("steps"))
        for line in _steps(rollout, status.step):
            steps.add(line)
    if status.checks:
        checks = tree.add(Text("checks"))
        for check in status.checks:
            checks.add(_check(check))
    return tree


def _versions(rollout: ModelRollout, now: float) -> Iterator[Text]:
    status, wanted = rollout.status, rollout.spec.serving.sizes
    if status.candidate is not None:
        more = f"  shadow {percent(status.shadow)}" if status.shadow else ""
        more += "  and selected requests" if status.selected else ""
        version, ready = status.candidate.revision.id, f"{status.candidate.ready}/{status.replicas or wanted}"
        yield _version("candidate", version, status.weight, ready, more=more)
    for one in status.variants:
        if one.failure:
            yield Text(f"{one.name:<10} {one.revision.id}  taken out: {one.failure}", "dim")
        else:
            yield _version(one.name, one.revision.id, one.weight, f"{one.ready}/{wanted}")
    if status.stable is not None:
        yield _version("stable", status.stable.id, stable_weight(status), f"{status.stable_ready}/{wanted}")
    for old in status.retiring:
        yield Text(f"retiring   {old.revision.id}  stops in {age(old.until - now)}", "dim")


def _version(role: str, version: str, weight: int, ready: str, *, more: str = "") -> Text:
    filled = round(_BAR * weight / BASIS_POINTS)
    return Text.assemble(
        f"{role:<10} ",
        (version, "bold"),
        "  ",
        ("█" * filled, "cyan"),
        ("░" * (_BAR - filled), "dim"),
        f" {percent(weight):>6}  {ready} ready{more}",
    )


def _arms(experiment: Experiment) -> Iterator[Text]:
    for arm in experiment.arms:
        value, interval, best = estimate(arm)
        probability = f"  best with {best}" if arm.best is not None else ""
        line = f"{arm.name:<10} {value} ({interval}) of {arm.counted.count}{probability}"
        yield Text(f"{line}  has won", "green") if arm.name == experiment.winner else Text(line)


def _steps(rollout: ModelRollout, current: int) -> Iterator[Text]:
    strategy = strategy_for(rollout)
    for step in range(strategy.count):
        if step < current:
            yield Text(f"✓ {strategy.title(step)}", "green")
        elif step == current:
            yield Text(f"▶ {strategy.title(step)}", "bold")
        else:
            yield Text(f"· {strategy.title(step)}", "dim")


def _check(check: CheckResult) -> Text:
    return Text.assemble(
        check.name, "  ", (standing(check), _VERDICTS[check.verdict] if check.gates else "dim"), f"  {check.message}"
    )
