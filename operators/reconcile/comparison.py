"""What an experiment's arms have got so far, who has won, and the weights of a bandit."""

from dataclasses import replace

from operators.api import experiment_digest
from operators.api.strategies import CANDIDATE, CONTROL, AbTest, Bandit, Goal
from operators.experiment import FEEDBACK, counted, goal_of, judge_bandit, judge_test
from operators.reconcile.draft import Draft
from operators.status import Arm, Experiment
from router.ir import BASIS_POINTS


def manifest_of(draft: Draft) -> AbTest | Bandit | None:
    """The experiment that the manifest asks for."""
    strategy = draft.rollout.spec.strategy
    return None if strategy is None else strategy.ab_test or strategy.bandit


def begin(draft: Draft) -> None:
    """Begin to compare, from now on. Every router divides the traffic among the arms."""
    stable, candidate = draft.status.stable, draft.status.candidate
    beside = [(variant.name, variant.revision.id, variant.weight) for variant in draft.taking_part]
    if candidate is not None:
        beside.append((CANDIDATE, candidate.revision.id, draft.status.weight))
    rest = BASIS_POINTS - sum(weight for _, _, weight in beside)
    control = Arm(CONTROL, stable.id if stable is not None else "", rest)
    arms = (control, *(Arm(name, version, weight) for name, version, weight in beside))
    draft.change(evidence_since=draft.now, experiment=Experiment(draft.now, arms))


def compare(draft: Draft) -> None:
    """Count, judge, and let a bandit choose weights. Without current figures everything stays as it was."""
    experiment, manifest = draft.status.experiment, manifest_of(draft)
    goal = goal_of(draft.rollout.spec.strategy)
    if experiment is None or manifest is None or goal is None or not _running(draft):
        return
    draft.wake(draft.now + draft.rollout.spec.analysis.interval)
    if goal.metric in FEEDBACK and draft.observed.feedback is None:
        message = f"{goal.metric}: the monitor cannot be asked for feedback, shares stay as they are"
        draft.change(experiment=replace(experiment, message=experiment.message if experiment.winner else message))
        return
    draft.change(experiment=_counted(draft, experiment, goal))
    if isinstance(manifest, AbTest):
        _test(draft, manifest)
    elif not draft.rollout.spec.paused:
        _allocate(draft, manifest)


def _running(draft: Draft) -> bool:
    """Whether the arms are still compared; a candidate that has passed the comparison is about to be stable.

    The spec may compare something else by now: then these samples are none of that, and the experiment is about to go.
    """
    status = draft.status
    if status.candidate is None:
        return bool(draft.taking_part) and status.trial == experiment_digest(draft.rollout)
    if status.strategy != draft.strategy.kind:
        return False
    return status.step is not None and status.step == draft.strategy.count - 1


def _counted(draft: Draft, experiment: Experiment, goal: Goal) -> Experiment:
    observed = draft.observed
    if goal.metric in FEEDBACK:
        said = observed.feedback or {}
        arms = (
            replace(arm, counted=counted(goal, None, mine), worth=mine.worth if mine is not None else None)
            for arm in experiment.arms
            for mine in [said.get(arm.version)]
        )
        return replace(experiment, arms=tuple(arms))
    if observed.traffic is None or observed.counting_since is None:
        return experiment
    since = round(observed.counting_since, 3)
    anew = since != experiment.counting_since
    summed = []
    for arm in experiment.arms:
        earlier = arm.counted if anew else arm.earlier
        now = counted(goal, observed.traffic.get(arm.version), None)
        summed.append(replace(arm, earlier=earlier, counted=earlier + now))
    return replace(experiment, arms=tuple(summed), counting_since=since)


def _test(draft: Draft, test: AbTest) -> None:
    experiment = _experiment(draft)
    finding = judge_test(experiment.arms, test)
    if experiment.winner:  # who has won at any moment has won
        draft.change(experiment=replace(experiment, arms=finding.arms))
        return
    draft.change(experiment=replace(experiment, arms=finding.arms, winner=finding.winner, message=finding.message))
    _tell_winner(draft)


def _allocate(draft: Draft, bandit: Bandit) -> None:
    experiment = _experiment(draft)
    due = (experiment.started_at if experiment.decided_at is None else experiment.decided_at) + bandit.interval
    if draft.now < due or experiment.winner:
        draft.wake(due)
        return
    finding = judge_bandit(experiment.arms, bandit, round(bandit.exploration_floor * 100))
    weights = {arm.name: arm.weight for arm in finding.arms}
    draft.change(
        experiment=replace(
            experiment, arms=finding.arms, winner=finding.winner, message=finding.message, decided_at=draft.now
        ),
        variants=tuple(replace(one, weight=weights.get(one.name, one.weight)) for one in draft.status.variants),
        weight=weights.get(CANDIDATE, draft.status.weight),
    )
    draft.wake(draft.now + bandit.interval)
    _tell_winner(draft)


def _tell_winner(draft: Draft) -> None:
    experiment = _experiment(draft)
    if experiment.winner:
        version = next(arm.version for arm in experiment.arms if arm.name == experiment.winner)
        draft.tell("Winner", f"{experiment.winner} ({version}) has won: {experiment.message}", version)


def _experiment(draft: Draft) -> Experiment:
    """The experiment, for those who have seen that there is one. Raises `LookupError` otherwise."""
    if draft.status.experiment is None:
        raise LookupError(f"no experiment runs in {draft.rollout.key}")
    return draft.status.experiment
