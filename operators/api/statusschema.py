"""The schema of `status` in the CRD, from the records of `operators.status`."""

from dataclasses import Field, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from operators.api.statusjson import BLOCKS, INLINED, SHARES, TIMES, json_name
from operators.status import Condition, RolloutStatus

_DESCRIPTIONS: Final = {
    "RolloutStatus.observed_generation": "The generation of the spec that was decided about.",
    "RolloutStatus.phase": "Where the rollout stands, in one word.",
    "RolloutStatus.message": "Where it stands, in a sentence.",
    "RolloutStatus.stable": "The version that was promoted last.",
    "RolloutStatus.stable_ready": "Replicas of the stable version that answer.",
    "RolloutStatus.candidate": "The version that is on its way.",
    "RolloutStatus.retiring": "Versions without traffic whose replicas still run.",
    "RolloutStatus.strategy": "What the candidate goes through: steps of another strategy begin anew.",
    "RolloutStatus.step": "Index of the step in work, from 0; the number of steps once all are done.",
    "RolloutStatus.step_started_at": "Since when the step is in work.",
    "RolloutStatus.weight": "Percent of the live requests that the candidate is meant to get.",
    "RolloutStatus.shadow": "Percent of the live requests that are copied to the candidate.",
    "RolloutStatus.selected": "Whether the candidate answers the requests that the manifest selects for it.",
    "RolloutStatus.replicas": "The candidate's size, where a step sets another one than the manifest.",
    "RolloutStatus.variants": "Versions of an experiment beside the stable one.",
    "RolloutStatus.experiment": "What an A/B test or a bandit has found so far.",
    "RolloutStatus.trial": "The digest of the experiment with variants that runs or is over.",
    "RolloutStatus.evidence_since": "Since when every router divides the traffic this way: checks count from here.",
    "RolloutStatus.failed": "The version that is not tried again until the spec changes or somebody says retry.",
    "RolloutStatus.failure": "Why that version was aborted; empty when a person took it back with undo.",
    "RolloutStatus.awaits_promotion": "Whether the step's time is over without enough evidence, and a person decides.",
    "RolloutStatus.checks": "The verdicts of the checks; of the last rollout when none is under way.",
    "RolloutStatus.conditions": "Conditions in Kubernetes' form.",
    "RolloutStatus.revisions": "Stable versions, newest first, kept for undo.",
    "RolloutStatus.history": "What was decided, newest last.",
    "Revision.id": "Ten hex digits of the SHA-256 of what makes the version.",
    "Revision.model": "The model it runs.",
    "Revision.serving": "How it runs, as far as that is not the default.",
    "Revision.promoted_at": "When it became stable.",
    "Candidate.started_at": "When it began.",
    "Candidate.ready": "Its replicas that answer.",
    "Candidate.starting_since": "Since when Ray Serve starts it without a pause; absent while it is ready.",
    "Variant.name": "What the version is called in the experiment.",
    "Variant.weight": "Percent of the live requests that it is meant to get.",
    "Variant.ready": "Its replicas that answer.",
    "Variant.starting_since": "Since when Ray Serve starts it without a pause; absent while it is ready.",
    "Variant.failure": "Why it was taken out; empty while it takes part.",
    "Tally.count": "How many samples.",
    "Tally.total": "Their sum.",
    "Tally.squares": "The sum of their squares.",
    "Arm.name": "control, candidate, or a variant's name.",
    "Arm.version": "The version's id.",
    "Arm.weight": "Percent of the live requests that it is meant to get.",
    "Arm.counted": "Samples of the goal's metric since the experiment began.",
    "Arm.earlier": "Those of them from before countingSince.",
    "Arm.value": "Their mean.",
    "Arm.low": "The lower end of the mean's interval.",
    "Arm.high": "The upper end of the mean's interval.",
    "Arm.worth": "The reward per request if the version got all of them, estimated from the shares it was given.",
    "Arm.best": "The probability that the version is the best.",
    "Experiment.started_at": "When every version of it got its share.",
    "Experiment.arms": "Its versions, the control first.",
    "Experiment.counting_since": "When the traffic's counters were last read anew.",
    "Experiment.decided_at": "When the weights were last computed.",
    "Experiment.winner": "The arm that is surely the best; empty while there is none.",
    "Experiment.message": "Where it stands, in a sentence.",
    "Retiring.until": "Until when its replicas stay.",
    "Retiring.replicas": "Its size, where that is not the manifest's.",
    "CheckResult.name": "The check's name.",
    "CheckResult.verdict": "What the evidence says.",
    "CheckResult.value": "The estimate, or the estimated difference from stable.",
    "CheckResult.bound": "What it is held against.",
    "CheckResult.low": "The lower end of the confidence interval.",
    "CheckResult.high": "The upper end of the confidence interval.",
    "CheckResult.samples": "What it rests on: requests, pairs of answers, labels, rewards, values or readings.",
    "CheckResult.message": "The verdict in a sentence.",
    "CheckResult.dry_run": "Whether it is only shown.",
    "CheckResult.idle": "Whether it is not judged in this step: this is what it said when it last was.",
    "Condition.type": "What the condition is about.",
    "Condition.status": "True, False or Unknown.",
    "Condition.reason": "Why, in one word.",
    "Condition.message": "Why, in a sentence.",
    "Condition.since": "When the status last changed.",
    "Decision.at": "When it was decided.",
    "Decision.reason": "What was decided, in one word.",
    "Decision.message": "What was decided and why, in a sentence.",
    "Decision.version": "The version it is about.",
}


_ANSWERED: Final = {
    "type": "object",
    "description": "Commands that were carried out and whose annotations are being taken back.",
    "properties": {
        "token": {
            "type": "string",
            "description": "Names the answer; the annotation tidegate.dev/answered repeats it.",
        },
        "commands": {
            "type": "array",
            "description": "The annotations that it answers.",
            "items": {"type": "string"},
        },
    },
}
"""Written by the operator on Kubernetes, which cannot write status and annotations at once."""


def status_schema() -> dict[str, Any]:
    """A structural schema."""
    schema = _record(RolloutStatus)
    schema["properties"]["answered"] = _ANSWERED
    return schema | {"description": "What is, and what the operator remembers."}


def _record(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    properties: dict[str, Any] = {}
    for field in fields(cls):
        if field.name == INLINED:
            properties |= _record(hints[field.name])["properties"]
        else:
            description = _DESCRIPTIONS[f"{cls.__name__}.{field.name}"]
            properties[json_name(cls, field)] = _field(cls, field, hints[field.name]) | {"description": description}
    return {"type": "object", "properties": properties}


def _field(cls: type, field: Field[Any], hint: Any) -> dict[str, Any]:
    if field.name in TIMES:
        return {"type": "string", "format": "date-time"}
    if field.name in SHARES:
        return {"type": "number"}
    if field.name in BLOCKS:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if cls is Condition and field.name == "status":
        return {"type": "string", "enum": ["True", "False", "Unknown"]}
    return _value(hint)


def _value(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is UnionType:
        hint = next(variant for variant in get_args(hint) if variant is not type(None))
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _value(get_args(hint)[0])}
    if is_dataclass(hint):
        return _record(hint)
    if issubclass(hint, Enum):
        return {"type": "string", "enum": [member.value for member in hint]}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[hint]}
