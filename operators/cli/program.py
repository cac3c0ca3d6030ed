"""The two programs, `tidegate` and `kubectl tidegate`: the same commands, about other rollouts.

Both take the same options for where rollouts are, before the command as well as after it.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from operators.cli.backend import Backend
from operators.cli.errors import CliError
from operators.cli.session import Session, Where

P = ParamSpec("P")

CONTEXT_VARIABLE: Final = "TIDEGATE_CONTEXT"
"""Names the cluster that `tidegate` is about when no option does."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a program is called, and whether it is always about a cluster."""

    name: str
    cluster: bool

    def session(self, where: Where) -> Session:
        """A session with the cluster that is named, or with this machine."""
        return Session(self._backend(where), self.name, where)

    def _backend(self, where: Where) -> Backend:
        context = where.context or (None if self.cluster else os.environ.get(CONTEXT_VARIABLE))
        if self.cluster or context or where.kubeconfig:
            try:
                from operators.cli.kube import KubeBackend  # noqa: PLC0415 - Kubernetes' client is slow to import
            except ModuleNotFoundError as error:
                raise CliError(f"{error.name} is not installed", "install it: pip install 'tidegate[kube]'") from error
            return KubeBackend(where.kubeconfig, context)
        from operators.cli.local import LocalBackend  # noqa: PLC0415
        from operators.local.home import Home  # noqa: PLC0415

        return LocalBackend(Home.from_environment())

    def command(self, function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
        """A command for Typer: options that say where the rollouts are take the place of the session."""

        def run(call: typer.Context, **arguments: Any) -> None:
            where = _taken(arguments).over(call.obj)
            function(self.session(where), **arguments)  # type: ignore[call-arg]  # Typer passes all by name

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        own = list(inspect.signature(function).parameters.values())[1:]
        return _with_parameters(run, [*own, *self._options()])

    def callback(self) -> Callable[..., None]:
        """What Typer calls before each command: it keeps the options that stand before the command."""

        def keep(call: typer.Context, **arguments: Any) -> None:
            call.obj = _taken(arguments)

        return _with_parameters(keep, self._options())

    def _options(self) -> Sequence[inspect.Parameter]:
        """The fields of `Where`."""
        if self.cluster:
            context = "The kubeconfig's context that names the cluster; else its current one."
        else:
            context = (
                f"The kubeconfig's context that names the cluster; else ${CONTEXT_VARIABLE}. Without both, and without "
                "--kubeconfig, the command is about this machine."
            )
        return (
            _option("namespace", str, "The namespace; else the context's.", "-n"),
            _option("context", str, context),
            _option("kubeconfig", Path, "The kubeconfig; else $KUBECONFIG, else ~/.kube/config."),
        )


TIDEGATE: Final = Program("tidegate", cluster=False)
PLUGIN: Final = Program("kubectl tidegate", cluster=True)


def _option(name: str, kind: type, text: str, *short: str) -> inspect.Parameter:
    option = typer.Option(f"--{name}", *short, help=text, show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _taken(arguments: dict[str, Any]) -> Where:
    """Take the options of `_options` out of the arguments of a call."""
    return Where(arguments.pop("namespace"), arguments.pop("context"), arguments.pop("kubeconfig"))


def _with_parameters(run: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """Let Typer see these parameters behind the first one of `run`."""
    first = next(iter(inspect.signature(run).parameters.values()))
    signature = inspect.Signature([first, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters)])
    run.__signature__ = signature  # type: ignore[attr-defined]  # read by `inspect`
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return run
