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
from operators.status import RolloutStatus
from tests import cli_rollouts

IRIS = RolloutKey("default", "iris")
IDLE = "nothing is running here: this takes effect at the next `tidegate up`\n"


def manifest(name: str, uri: str, **spec: Any) -> str:
    return yaml.safe_dump(cli_rollouts.document(name, uri, **spec))


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
    remember(home, replace(cli_rollouts.live(rollout), **changes))
    return revision_of(rollout).id


def remember(home: Home, status: RolloutStatus) -> None:
    Database(home.store).put_status(IRIS, status_to_json(status), ())


def rolling(home: Home, folder: Path) -> tuple[str, str]:
    """The second version of iris on its fourth step; the ids of both."""
    stable = live(home, folder)
    works("apply", "-f", folder / "next.yaml")
    rollout = stored(home)
    remember(home, cli_rollouts.rolling(rollout))
    return stable, revision_of(rollout).id
