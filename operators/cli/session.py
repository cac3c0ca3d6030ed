"""What every command begins with: which rollouts it is about, where they are, and how to say what to type next."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from operators.api import ModelRollout, RolloutKey
from operators.cli.backend import Backend
from operators.cli.errors import CliError

Name = Annotated[str, typer.Argument(help="The rollout's name.", show_default=False)]


@dataclass(frozen=True, slots=True)
class Where:
    """What was said about where the rollouts are; None where nothing was."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None

    def over(self, other: "Where") -> "Where":
        """This, completed by what `other` says."""
        return Where(
            self.namespace or other.namespace, self.context or other.context, self.kubeconfig or other.kubeconfig
        )

    @property
    def options(self) -> str:
        """The same as options of a command."""
        named = (("-n", self.namespace), ("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return "".join(f" {option} {shlex.quote(str(value))}" for option, value in named if value)


@dataclass(frozen=True, slots=True)
class Session:
    """One call of a command: the backend, and the words it was called with."""

    backend: Backend
    program: str
    where: Where

    @property
    def namespace(self) -> str:
        """The namespace that the command is about."""
        return self.where.namespace or self.backend.namespace

    def say(self, command: str) -> str:
        """What to type to give another command at the same place."""
        return f"{self.program} {command}{self.where.options}"

    def find(self, name: str) -> ModelRollout:
        """The rollout of this name. Raises `CliError` with the names that exist."""
        rollout = self.backend.rollout(RolloutKey(self.namespace, name))
        if rollout is None:
            raise self.unknown(name)
        return rollout

    def unknown(self, name: str) -> CliError:
        """The error for a name that does not exist."""
        names = [other.key.name for other in self.backend.rollouts(self.namespace)]
        if names:
            return CliError(f"there is no modelrollout/{name}; there are: {', '.join(names)}")
        return CliError(f"there is no modelrollout/{name}, nor any other", f"make one: {self.say('apply -f FILE')}")

    def tell_operator(self) -> None:
        """Wake whoever acts on what was stored, or say that nobody does just now."""
        idle = self.backend.idle()
        if idle is not None:
            warn(f"{idle.reason}: this takes effect {idle.until}")


def warn(text: str) -> None:
    """A line for a person, beside the output."""
    sys.stderr.write(f"{text}\n")
