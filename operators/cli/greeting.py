"""What `tidegate up` says when the models answer: the exact commands to try next."""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from operators.api import ModelRollout
from operators.api.types import Input
from operators.status import Phase

_EXAMPLES = {"BOOL": True, "BYTES": "a"}
"""A value for an input of a datatype; numbers get 1."""


def greeting(rollouts: Sequence[ModelRollout], port: int, folders: Sequence[Path]) -> list[str]:
    """Lines with commands for these rollouts, answered on `port`; `folders` are where their manifests came from.

    A folder `next` beside the manifests holds what its author wants tried next.
    """
    tidegate = _command()
    lines = [f"answering on http://127.0.0.1:{port}; Ctrl-C stops everything. Try:", ""]
    for rollout in rollouts:
        if rollout.status.phase is Phase.DEGRADED and rollout.status.stable is None:
            lines.append(f"  {tidegate} describe {rollout.key.name}    # it does not answer: see why")
        else:
            lines += (f"  {line}" for line in _requests(rollout, f"http://127.0.0.1:{port}"))
    lines += ["", f"  {tidegate} get -w"]
    lines += (f"  {tidegate} apply -f {folder / 'next'}" for folder in folders if (folder / "next").is_dir())
    return lines


def _requests(rollout: ModelRollout, address: str) -> Iterator[str]:
    """One request per protocol, for a model whose inputs are named; else the question what it takes."""
    name, inputs = rollout.key.name, rollout.spec.model.inputs
    values = [_example(one) for one in inputs]
    if not inputs:
        yield f"curl {address}/v2/models/{name}"
        return
    columns = [
        {"name": one.name, "shape": [1, 1], "datatype": one.datatype, "data": [value]}
        for one, value in zip(inputs, values, strict=True)
    ]
    fields = dict(zip((one.name for one in inputs), values, strict=True))
    named = rollout.spec.traffic.paths.predict or f"/api/v1/models/{name}/predict"
    yield f"curl {address}{named} -d {_quoted(fields)}"
    yield f"curl {address}/v1/models/{name}:predict -d {_quoted({'instances': [values]})}"
    yield f"curl {address}/v2/models/{name}/infer -d {_quoted({'inputs': columns})}"


def _example(one: Input) -> object:
    """A value that the input takes."""
    if one.example is not None or one.values:
        return one.values[0] if one.example is None else one.example
    if one.datatype in _EXAMPLES:
        return _EXAMPLES[one.datatype]
    number = max(1.0, one.min or 0.0)
    number = number if one.max is None else min(number, one.max)
    return int(number) if number.is_integer() else number


def _quoted(body: object) -> str:
    return shlex.quote(json.dumps(body))


def _command() -> str:
    """How this very program is called from where the user is."""
    if shutil.which("tidegate") is not None:
        return "tidegate"
    program, here = Path(sys.argv[0]).absolute(), Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
