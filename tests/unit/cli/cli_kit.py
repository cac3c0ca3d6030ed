"""A state folder with rollouts in it, and the command line called as a user calls it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from operators.api import ModelRollout, RolloutKey, revision_of, status_to_json
from operators.cli.app import app
from operators.cli.local import LocalBackend
from operators.local.database import Database
from operators.local.home import Home
from operators.status import Candidate, CheckResult, Phase, RolloutStatus, Verdict

IRIS = RolloutKey("default", "iris")
STEPS = [{"setShadow": 100}, {"setShadow": 0}, {"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]
IDLE = "nothing is running here: this takes effect at the next `tidegate up`\n"


def manifest(name: str, uri: str, **spec: Any) -> str:
    content = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": uri, "runtime": "sklearn"},
            "strategy": {"canary": {"steps": STEPS}},
            **spec,
        },
    }
    return yaml.safe_dump(content)


def tidegate(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


def works(*arguments: object, text: str | None = None) -> str:
    result = tidegate(*arguments, text=text)
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.stdout


def fails(*arguments: object, text: str | None = None) -> str:
    result = tidegate(*arguments, text=text)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return result.stderr


def stored(home: Home) -> ModelRollout:
    rollout = LocalBackend(home).rollout(IRIS)
    assert rollout is not None
    return rollout


def live(home: Home, folder: Path, **changes: Any) -> str:
    """Apply the first version of iris as if it was live since; its id."""
    works("apply", "-f", folder / "iris.yaml")
    rollout = stored(home)
    version = replace(revision_of(rollout), promoted_at=1_800_000_000.0)
    status = RolloutStatus(
        observed_generation=rollout.metadata.generation,
        phase=Phase.HEALTHY,
        message=f"{version.id} serves all requests",
        stable=version,
        stable_ready=1,
        revisions=(version,),
    )
    remember(home, replace(status, **changes))
    return version.id


def remember(home: Home, status: RolloutStatus) -> None:
    Database(home.store).put_status(IRIS, status_to_json(status), ())


def rolling(home: Home, folder: Path) -> tuple[str, str]:
    """The second version of iris on its fourth step; the ids of both."""
    stable = live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    rollout = stored(home)
    candidate = revision_of(rollout)
    check = CheckResult("errors", Verdict.PASS, 0.001, 0.01, 0.0, 0.004, 1200, "0.1 % of 1,200 requests")
    changes = {
        "observed_generation": rollout.metadata.generation,
        "phase": Phase.PROGRESSING,
        "message": f"{candidate.id}: step 4 of 5: pause, waits for a person",
        "candidate": Candidate(candidate, 1_800_000_100.0, 1),
        "step": 3,
        "step_started_at": 1_800_000_200.0,
        "weight": 500,
        "checks": (check,),
    }
    remember(home, replace(rollout.status, **changes))
    return stable, candidate.id
