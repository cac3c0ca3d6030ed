"""Rollouts as text: the table of `get`, its JSON and YAML, and the pages of `describe`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from operators.api import ModelRollout, manifest_to_json
from operators.api.fields import format_time
from operators.cli.text import (
    NOTHING,
    age,
    estimate,
    indented,
    number,
    percent,
    sections,
    stable_weight,
    standing,
    table,
    verdict,
)
from operators.status import CheckResult, RolloutStatus
from operators.stored import StoredEvent
from operators.strategies import strategy_for

_HEAD = ("NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CANDIDATE", "VERDICT", "AGE")
_WIDE = ("SHADOW", "READY", "MESSAGE")


def overview(rollouts: Sequence[ModelRollout], now: float, wide: bool = False, namespaces: bool = False) -> str:
    """One line per rollout; `wide` and `namespaces` add columns."""
    first, head = int(not namespaces), ("NAMESPACE", *_HEAD, *(_WIDE if wide else ()))
    return table(head[first:], [_cells(rollout, now)[first : len(head)] for rollout in rollouts])


def _cells(rollout: ModelRollout, now: float) -> tuple[str, ...]:
    status, candidate = rollout.status, rollout.status.candidate
    return (
        rollout.key.namespace,
        rollout.key.name,
        "Deleting" if rollout.metadata.deletion_timestamp is not None else status.phase.value,
        _step(rollout),
        percent(status.weight) if candidate else NOTHING,
        status.stable.id if status.stable else NOTHING,
        candidate.revision.id if candidate else NOTHING,
        verdict(status.checks),
        age(now - rollout.metadata.creation_timestamp),
        percent(status.shadow) if candidate else NOTHING,
        _ready(status, rollout.spec.serving.sizes),
        status.message or NOTHING,
    )


def _ready(status: RolloutStatus, wanted: str) -> str:
    """Replicas that answer, of all: of the stable version, then of the candidate or of each variant."""
    if status.stable is None and status.candidate is None:
        return NOTHING
    ready = [f"{status.stable_ready}/{wanted}" if status.stable else NOTHING]
    if status.candidate is not None:
        ready.append(f"{status.candidate.ready}/{status.replicas or wanted}")
    ready += [f"{variant.name} {variant.ready}/{wanted}" for variant in status.variants if not variant.failure]
    return ", ".join(ready)


def _step(rollout: ModelRollout) -> str:
    """The steps that are done, of all."""
    if rollout.status.step is None:
        return NOTHING
    count = strategy_for(rollout).count
    return f"{min(rollout.status.step, count)}/{count}"


def document(rollouts: Sequence[ModelRollout], form: str, single: bool) -> str:
    """JSON or YAML: the rollout itself if `single`, else a list as kubectl writes it."""
    items = [manifest_to_json(rollout) for rollout in rollouts]
    content: dict[str, Any] = items[0] if single else {"apiVersion": "v1", "kind": "List", "items": items}
    return dumped(content, form)


def dumped(content: Mapping[str, Any], form: str) -> str:
    """JSON or YAML."""
    if form == "json":
        return json.dumps(content, indent=2)
    import yaml  # noqa: PLC0415 - needed here only

    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True).rstrip()


def description(rollout: ModelRollout, events: Sequence[StoredEvent], now: float) -> str:
    """Everything about one rollout, in sections."""
    parts = (
        ("", _facts(rollout, now)),
        ("Versions", _versions(rollout, now)),
        ("Experiment", _experiment(rollout.status, now)),
        ("Steps", _steps(rollout)),
        ("Checks", checks(rollout.status.checks)),
        ("Conditions", _conditions(rollout)),
        ("Events", _events(events, now)),
    )
    return sections(parts)


def _facts(rollout: ModelRollout, now: float) -> str:
    spec, metadata = rollout.spec, rollout.metadata
    facts = [
        ("Name:", metadata.name),
        ("Namespace:", metadata.namespace),
        ("Created:", f"{format_time(metadata.creation_timestamp)} ({age(now - metadata.creation_timestamp)} ago)"),
        ("Generation:", f"{metadata.generation} (seen by the operator: {rollout.status.observed_generation})"),
        ("Model:", f"{spec.model.uri} ({spec.model.runtime})"),
        *((f"Variant {one.name}:", f"{one.model.uri} ({one.model.runtime})") for one in spec.variants),
        ("Hosts:", ", ".join(spec.traffic.hosts)),
        *((f"Path {name}:", path) for name, path in spec.traffic.paths.given.items()),
        ("Phase:", rollout.status.phase.value),
        ("Message:", rollout.status.message or NOTHING),
    ]
    if rollout.commands:
        facts.append(("Asked for:", ", ".join(command.value for command in rollout.commands)))
    return indented(facts, "")


def _versions(rollout: ModelRollout, now: float) -> str:
    status, wanted = rollout.status, rollout.spec.serving.sizes
    rows = []
    if status.candidate is not None:
        version, ready = status.candidate.revision.id, f"{status.candidate.ready}/{status.replicas or wanted}"
        selected = "and selected requests" if status.selected else ""
        rows.append(("candidate", version, percent(status.weight), percent(status.shadow), ready, selected))
    for variant in status.variants:
        share, ready = percent(variant.weight), NOTHING if variant.failure else f"{variant.ready}/{wanted}"
        out = f"taken out: {variant.failure}" if variant.failure else ""
        rows.append((f"variant {variant.name}", variant.revision.id, share, NOTHING, ready, out))
    if status.stable is not None:
        share, ready = percent(stable_weight(status)), f"{status.stable_ready}/{wanted}"
        rows.append(("stable", status.stable.id, share, NOTHING, ready, ""))
    rows += [
        ("retiring", old.revision.id, "0%", NOTHING, NOTHING, f"for {age(old.until - now)}") for old in status.retiring
    ]
    rows += [
        (
            "former",
            old.id,
            NOTHING,
            NOTHING,
            NOTHING,
            f"stable since {format_time(old.promoted_at)}" if old.promoted_at else "",
        )
        for old in status.revisions[1:]
    ]
    head = ("ROLE", "VERSION", "WEIGHT", "SHADOW", "READY", "")
    return indented([head, *rows]) if rows else ""


def _experiment(status: RolloutStatus, now: float) -> str:
    """What was found so far; of the last experiment when none is under way."""
    experiment = status.experiment
    if experiment is None:
        return ""
    head = ("ARM", "VERSION", "WEIGHT", "SAMPLES", "VALUE", "INTERVAL", "BEST", "WORTH")
    rows = (
        (arm.name, arm.version, percent(arm.weight), str(arm.counted.count), *estimate(arm), number(arm.worth))
        for arm in experiment.arms
    )
    facts = [
        ("Began:", f"{format_time(experiment.started_at)} ({age(now - experiment.started_at)} ago)"),
        ("Winner:", experiment.winner or NOTHING),
        ("Message:", experiment.message or NOTHING),
    ]
    return f"{indented([head, *rows])}\n{indented(facts)}"


def _steps(rollout: ModelRollout) -> str:
    strategy, current = strategy_for(rollout), rollout.status.step
    rows = []
    for step in range(strategy.count):
        state = "" if current is None else "done" if step < current else "now" if step == current else "to come"
        rows.append((f"{step + 1}.", strategy.title(step), state))
    return indented(rows)


def checks(found: Sequence[CheckResult]) -> str:
    """What each check says now."""
    rows = [(check.name, standing(check), str(check.samples), check.message) for check in found]
    return indented([("NAME", "VERDICT", "SAMPLES", "MESSAGE"), *rows]) if rows else ""


def _conditions(rollout: ModelRollout) -> str:
    rows = [
        (one.type, {True: "True", False: "False", None: "Unknown"}[one.status], one.reason, one.message)
        for one in rollout.status.conditions
    ]
    return indented([("TYPE", "STATUS", "REASON", "MESSAGE"), *rows]) if rows else ""


def _events(events: Sequence[StoredEvent], now: float) -> str:
    rows = [
        (age(now - one.at), "Warning" if one.event.warning else "Normal", one.event.reason, one.event.message)
        for one in events
    ]
    return indented([("AGE", "TYPE", "REASON", "MESSAGE"), *rows]) if rows else ""
