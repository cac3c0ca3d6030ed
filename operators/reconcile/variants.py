"""The way of an experiment with variants: all ready, traffic divided, compared, ended by a winner or a person.

The variants run beside the stable version, which is the control. They are no candidates: none of them is what the
manifest's `model` names, and several of them get traffic at once.
"""

from dataclasses import replace

from operators.analysis import Basis, evaluate, evidence
from operators.api import experiment_digest, revision_of
from operators.api.strategies import CONTROL, AbTest
from operators.reconcile.comparison import begin, manifest_of
from operators.reconcile.draft import Draft
from operators.status import Variant, Verdict
from router.ir import BASIS_POINTS
from serving.spec import TargetPhase


def follow(draft: Draft) -> None:
    """Start the variants of the manifest once their control is stable; take away those of another experiment."""
    status, spec = draft.status, draft.rollout.spec
    digest = experiment_digest(draft.rollout) if spec.variants else ""
    fits = status.candidate is None and status.stable is not None and status.stable.id == draft.wanted.id
    if status.variants and (status.trial != digest or not fits):
        why = "another version rolls out" if not fits else "the spec changed" if status.trial else "it begins anew"
        draft.tell("Superseded", f"the experiment gives way: {why}", draft.wanted.id)
        _retire_all(draft)
        draft.change(trial="")
    elif status.trial not in ("", digest):
        draft.change(trial="", failure=status.failure if status.failed is not None else "")
    if not spec.variants or not fits or draft.status.trial:
        return
    revisions = {variant.name: revision_of(draft.rollout, variant.name) for variant in spec.variants}
    if all(draft.may_begin(revision) for revision in revisions.values()):
        variants = tuple(Variant(name, revision) for name, revision in revisions.items())
        ids = {variant.revision.id for variant in variants}
        retiring = tuple(one for one in draft.status.retiring if one.revision.id not in ids)
        draft.change(variants=variants, retiring=retiring, trial=digest, failure="", failed=None)
        draft.change(checks=(), experiment=None, evidence_since=None, awaits_promotion=False)
        draft.tell("Started", f"beside {draft.wanted.id}: {_names(variants)}", draft.wanted.id)


def watch(draft: Draft) -> None:
    """Hold every variant against the checks, and take out those that fail unless somebody forces a promotion."""
    status, checks = draft.status, draft.rollout.spec.analysis.checks
    if not draft.taking_part or status.experiment is None or not checks or status.stable is None:
        return
    traffic = draft.observed.traffic or {}
    of_stable = evidence(traffic.get(status.stable.id), live=True)
    draft.wake(draft.now + draft.rollout.spec.analysis.interval)
    results = []
    for variant in draft.taking_part:
        of_variant = evidence(traffic.get(variant.revision.id), live=True)
        mine = evaluate(checks, Basis(status.stable.id, variant.revision.id, of_stable, of_variant))
        results += [replace(result, name=f"{variant.name}/{result.name}") for result in mine]
        failed = next((result for result in mine if result.gates and result.verdict is Verdict.FAIL), None)
        if failed is not None and not draft.forced:
            _take_out(draft, variant, f"check {failed.name} failed: {failed.message}")
    draft.change(checks=tuple(results))


def advance(draft: Draft) -> None:
    """Move the experiment as far as it can go without something new from the world."""
    if draft.status.candidate is not None or not draft.status.variants:
        return
    for variant in draft.taking_part:
        state = draft.state(variant.revision)
        if state.phase is TargetPhase.FAILED:
            why = f"it could not be loaded: {state.message or 'Ray Serve gives no reason'}"
            _take_out(draft, variant, why, delayed=False)
        else:
            _keep_deadline(draft, variant)
    if draft.rollout.spec.paused or not draft.taking_part:
        return
    if draft.status.experiment is not None:
        _end(draft)
    elif any(variant.weight for variant in draft.taking_part):
        if draft.in_force():
            begin(draft)
            draft.tell("Comparing", f"{_names(draft.taking_part)} and {CONTROL} divide the traffic", draft.wanted.id)
    elif all(_is_ready(draft, variant) for variant in draft.taking_part) and draft.in_force():
        weights = first_weights(draft)
        draft.change(variants=tuple(replace(one, weight=weights.get(one.name, 0)) for one in draft.status.variants))


def first_weights(draft: Draft) -> dict[str, int]:
    """What each variant that takes part gets at first, in basis points: a test's shares, or equal parts."""
    manifest, names = manifest_of(draft), [variant.name for variant in draft.taking_part]
    if isinstance(manifest, AbTest):
        return {name: round(manifest.shares[name] * 100) for name in names}
    return dict.fromkeys(names, BASIS_POINTS // (len(names) + 1))


def promote(draft: Draft, name: str) -> None:
    """Make a variant that takes part stable, or keep the control; the others leave."""
    chosen = next((variant for variant in draft.taking_part if variant.name == name), None)
    if chosen is None:
        draft.tell("Ended", f"{CONTROL} stays stable, the variants leave", draft.wanted.id)
        _retire_all(draft)
        draft.change(awaits_promotion=False)
        return
    draft.change(variants=tuple(variant for variant in draft.status.variants if variant != chosen))
    _retire_all(draft)
    draft.install(chosen.revision, chosen.ready)
    # What the manifest names has lost: it is not to come back by itself.
    draft.change(failed=draft.wanted.id)


def stop(draft: Draft, why: str) -> None:
    """End the experiment without a winner; it does not begin again by itself."""
    stable = draft.status.stable
    serving = f"{stable.id} serves all requests" if stable is not None else "requests get 503"
    message = (
        f"the experiment was ended: {why}; {serving}; it does not begin again until the spec changes or you say "
        f"`{draft.typed('retry')}`"
    )
    _retire_all(draft)
    draft.change(failure=message, awaits_promotion=False)
    draft.tell("Aborted", message, draft.wanted.id, warning=True)


def _is_ready(draft: Draft, variant: Variant) -> bool:
    return draft.state(variant.revision).phase is TargetPhase.RUNNING and variant.ready >= draft.full


def _keep_deadline(draft: Draft, variant: Variant) -> None:
    """Take a variant out that has not begun to answer in time. Pauses do not count."""
    missing = draft.state(variant.revision).phase is TargetPhase.MISSING
    begun = variant.ready > 0 if variant.weight > 0 else _is_ready(draft, variant)
    waits = not begun and not missing and not draft.rollout.spec.paused
    since = (variant.starting_since or draft.now) if waits else None
    _replace(draft, replace(variant, starting_since=since))
    if since is None:
        return
    seconds = draft.rollout.spec.progress_deadline_seconds
    draft.wake(since + seconds)
    if draft.now >= since + seconds:
        message = draft.state(variant.revision).message
        reason = f": {message}" if message else ""
        _take_out(draft, variant, f"it was not ready within {seconds} s{reason}")


def _end(draft: Draft) -> None:
    """End the comparison with a winner, or wait for a person."""
    experiment, manifest = draft.status.experiment, manifest_of(draft)
    if experiment is None or manifest is None:
        return
    hold = isinstance(manifest, AbTest) and manifest.on_winner == "hold"
    longest = manifest.max_duration if isinstance(manifest, AbTest) else None
    ready = {variant.name: variant.ready for variant in draft.taking_part} | {CONTROL: draft.status.stable_ready}
    if experiment.winner and not hold and ready[experiment.winner] > 0:
        promote(draft, experiment.winner)
    elif experiment.winner and not hold:
        draft.waiting = f"{experiment.winner} has won, but no replica of it answers"
    elif experiment.winner:
        draft.waiting = f"{experiment.winner} has won, waits for a person"
        draft.change(awaits_promotion=True)
    elif longest is not None and draft.now >= experiment.started_at + longest:
        draft.waiting = "its time is over and nobody has won: waits for a person"
        draft.change(awaits_promotion=True)
    else:
        draft.change(awaits_promotion=False)
        if longest is not None:
            draft.wake(experiment.started_at + longest)


def _take_out(draft: Draft, variant: Variant, why: str, delayed: bool = True) -> None:
    """Take all traffic from a variant; the control gets its share."""
    stay = delayed and variant.weight > 0
    draft.change(retiring=draft.retiring(variant.revision, stay))
    _replace(draft, replace(variant, weight=0, ready=0, starting_since=None, failure=why))
    experiment = draft.status.experiment
    if experiment is not None:
        arms = tuple(arm for arm in experiment.arms if arm.name != variant.name)
        winner = "" if experiment.winner == variant.name else experiment.winner
        draft.change(experiment=replace(experiment, arms=arms, winner=winner))
    message = f"variant {variant.name} ({variant.revision.id}) was taken out: {why}"
    draft.tell("TakenOut", message, variant.revision.id, warning=True)
    if not draft.taking_part:
        stop(draft, f"no variant is left; the last one, {variant.name}, was taken out: {why}")


def _replace(draft: Draft, variant: Variant) -> None:
    draft.change(variants=tuple(variant if one.name == variant.name else one for one in draft.status.variants))


def _retire_all(draft: Draft) -> None:
    candidate = draft.status.candidate
    for variant in draft.taking_part:
        if candidate is not None and candidate.revision.id == variant.revision.id:
            continue  # it goes on under another name
        draft.change(retiring=draft.retiring(variant.revision, stay=variant.weight > 0))
    draft.change(variants=(), evidence_since=None)


def _names(variants: tuple[Variant, ...]) -> str:
    return ", ".join(variant.name for variant in variants)
