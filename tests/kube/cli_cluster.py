"""`kubectl tidegate` as a person uses it in one namespace of a real API server, and what the operator writes there."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from operators.api import ModelRollout, parse_manifest, revision_of, status_to_json
from operators.cli.app import plugin
from operators.status import RolloutStatus
from tests import cli_rollouts
from tests.kube.apiserver import ApiServer


def manifest(name: str, model: str, **spec: Any) -> dict[str, Any]:
    """A rollout of a model that only a cluster has."""
    return cli_rollouts.document(name, f"file:///models/{model}", **spec)


@dataclass(frozen=True)
class Cluster:
    """One namespace, which is that of the context in `kubeconfig`."""

    api_server: ApiServer
    namespace: str
    kubeconfig: Path

    def run(self, *arguments: object, text: str | None = None) -> Result:
        return CliRunner().invoke(
            plugin, [str(argument) for argument in arguments], input=text, env={"KUBECONFIG": str(self.kubeconfig)}
        )

    def works(self, *arguments: object, text: str | None = None) -> str:
        """What it prints; it must succeed."""
        result = self.run(*arguments, text=text)
        assert (result.exit_code, result.exception) == (0, None), result.output
        return result.stdout

    def fails(self, *arguments: object, text: str | None = None) -> str:
        """What it says instead; it must end with exit code 1."""
        result = self.run(*arguments, text=text)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        return result.stderr

    def apply(self, name: str, model: str, *options: str, **spec: Any) -> str:
        return self.works("apply", "-f", "-", *options, text=yaml.safe_dump(manifest(name, model, **spec)))

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - as ApiServer has it
        return self.api_server.kubectl("-n", self.namespace, *arguments, input=input).stdout

    def object(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", "modelrollout", name, "-o", "json")))

    def rollout(self, name: str) -> ModelRollout:
        return parse_manifest(self.object(name))

    def annotations(self, name: str) -> dict[str, str]:
        return dict(self.object(name)["metadata"].get("annotations", {}))

    def write_status(self, name: str, status: RolloutStatus) -> None:
        patch = json.dumps([{"op": "add", "path": "/status", "value": status_to_json(status)}])
        self.kubectl("patch", "modelrollout", name, "--subresource=status", "--type=json", "-p", patch)

    def live(self, name: str = "iris", **changes: Any) -> str:
        """Apply a first version that serves everything; its id."""
        self.apply(name, "iris-1")
        rollout = self.rollout(name)
        self.write_status(name, replace(cli_rollouts.live(rollout), **changes))
        return revision_of(rollout).id

    def rolling(self, name: str = "iris") -> tuple[str, str]:
        """A second version on its fourth step; the ids of both."""
        stable = self.live(name)
        self.apply(name, "iris-2")
        rollout = self.rollout(name)
        self.write_status(name, cli_rollouts.rolling(rollout))
        return stable, revision_of(rollout).id


def as_context(api_server: ApiServer, path: Path, namespace: str, token: str | None = None) -> Path:
    """A kubeconfig whose context has this namespace, for the administrator or for the owner of a token."""
    content = yaml.safe_load(api_server.kubeconfig.read_text())
    content["contexts"][0]["context"]["namespace"] = namespace
    if token is not None:
        content["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(content))
    return path
