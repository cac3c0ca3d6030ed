"""What most commands begin with: the backend, the rollout they are about, and the note when nobody is listening."""

import sys
from typing import Annotated

import typer

from operators.api import ModelRollout, RolloutKey
from operators.cli.backend import Backend
from operators.cli.errors import CliError
from operators.cli.local import LocalBackend
from operators.local.home import Home

Name = Annotated[str, typer.Argument(help="The rollout's name.", show_default=False)]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The rollout's namespace.")]
DEFAULT_NAMESPACE = "default"


def connect() -> Backend:
    """The backend of this machine."""
    return LocalBackend(Home.from_environment())


def find(backend: Backend, name: str, namespace: str) -> ModelRollout:
    """The rollout of this name. Raises `CliError` with the names that exist."""
    rollout = backend.rollout(RolloutKey(namespace, name))
    if rollout is None:
        raise unknown(backend, name, namespace)
    return rollout


def unknown(backend: Backend, name: str, namespace: str) -> CliError:
    """The error for a name that does not exist."""
    names = [other.key.name for other in backend.rollouts() if other.key.namespace == namespace]
    if names:
        return CliError(f"there is no modelrollout/{name}; there are: {', '.join(names)}")
    return CliError(f"there is no modelrollout/{name}, nor any other", "make one: tidegate apply -f FILE")


def tell_operator(backend: Backend) -> None:
    """Wake whoever acts on what was stored, or say that nobody does just now."""
    if not backend.awake():
        warn("nothing is running here: this takes effect at the next `tidegate up`")


def warn(text: str) -> None:
    """A line for a person, beside the output."""
    sys.stderr.write(f"{text}\n")
