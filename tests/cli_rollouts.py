"""Rollouts that the command line is tried on, be they on one machine or on a cluster."""

from dataclasses import replace
from typing import Any

from operators.api import ModelRollout, revision_of
from operators.plan import Command
from operators.status import Candidate, CheckResult, Phase, RolloutStatus, Verdict

STEPS = [{"setShadow": 100}, {"setShadow": 0}, {"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]
COMMANDS = [
    (["promote", "iris"], Command.PROMOTE, "step"),
    (["promote", "iris", "--full"], Command.PROMOTE, "full"),
    (["promote", "iris", "--full", "--force"], Command.PROMOTE, "full,force"),
    (["abort", "iris"], Command.ABORT, ""),
    (["undo", "iris"], Command.UNDO, ""),
]
"""What is typed while a version rolls out, and the command with its value that arrives."""


def document(name: str, uri: str, **spec: Any) -> dict[str, Any]:
    """A rollout with five steps."""
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": {"model": {"uri": uri, "runtime": "sklearn"}, "strategy": {"canary": {"steps": STEPS}}, **spec},
    }


def live(rollout: ModelRollout) -> RolloutStatus:
    """Its version serves everything."""
    version = replace(revision_of(rollout), promoted_at=1_800_000_000.0)
    return RolloutStatus(
        observed_generation=rollout.metadata.generation,
        phase=Phase.HEALTHY,
        message=f"{version.id} serves all requests",
        stable=version,
        stable_ready=1,
        revisions=(version,),
    )


def rolling(rollout: ModelRollout) -> RolloutStatus:
    """Its version is on the fourth step, beside the one that was live."""
    candidate = revision_of(rollout)
    check = CheckResult("errors", Verdict.PASS, 0.001, 0.01, 0.0, 0.004, 1200, "0.1 % of 1,200 requests")
    return replace(
        rollout.status,
        observed_generation=rollout.metadata.generation,
        phase=Phase.PROGRESSING,
        message=f"{candidate.id}: step 4 of 5: pause, waits for a person",
        candidate=Candidate(candidate, 1_800_000_100.0, 1),
        step=3,
        step_started_at=1_800_000_200.0,
        weight=500,
        checks=(check,),
    )
