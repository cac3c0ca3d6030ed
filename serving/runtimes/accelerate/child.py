"""`python -m serving.runtimes.accelerate.child`: one conversion, in a process that does nothing else.

It reads one line of JSON, a `Job`, loads the model a second time, converts it, compares the two, and leaves a `Verdict`
at the target. Converters and graphs that crash, hang or fill the memory do so here.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np

from serving.errors import MissingLibrary, ModelLoadError
from serving.records.profile import read_profile
from serving.runtimes.accelerate.agreement import TOLERANCE, difference
from serving.runtimes.accelerate.converted import Converted
from serving.runtimes.accelerate.errors import NotConvertible
from serving.runtimes.accelerate.job import JOB, Verdict
from serving.runtimes.base import LoadedModel
from serving.runtimes.files import library
from serving.runtimes.onnxsession import Session
from serving.spec import Acceleration, ModelSource


def main() -> None:
    """Do the job."""
    job = JOB.validate_json(sys.stdin.readline())
    signal.alarm(job.seconds)  # should the parent die, who waits no longer than that: it ends the process for certain
    Path(job.target).write_bytes(judge(Path(job.path), job.source).to_bytes())


def judge(path: Path, source: ModelSource) -> Verdict:
    """Convert a model and compare. Whatever goes wrong is a verdict too."""
    try:
        # What the manifest says of outputs is not the library's affair.
        module = import_module(f"serving.runtimes.{source.runtime}")
        model = cast("LoadedModel", module.load(path, replace(source, outputs=(), accelerate=None)))
        return _judge(model, source)
    except MissingLibrary as error:
        return Verdict(Acceleration(False, "MissingLibrary", str(error)))
    except (NotConvertible, ModelLoadError) as error:
        return Verdict(Acceleration(False, "NotConvertible", str(error)))


def _judge(model: LoadedModel, source: ModelSource) -> Verdict:
    library("onnx", "onnx", "accelerate")
    convert = import_module("serving.runtimes.accelerate.convert")
    samples = import_module("serving.runtimes.accelerate.samples")
    shapes = import_module("serving.runtimes.accelerate.graphs")
    signature = model.signature
    if not signature.width or signature.dtype == object:
        raise NotConvertible("only tables of numbers with a known number of columns are converted")
    rows: np.ndarray | None = None
    found = problem = ""
    for graph in convert.graphs(model, source.runtime):
        content = graph.SerializeToString()
        try:
            converted = Converted(model, Session.open(content, "the converted model"))
        except ModelLoadError as error:
            problem = problem or str(error)
            continue
        names = converted.made
        if rows is None:
            known = samples.ranges(signature, read_profile(source))
            rows = samples.rows_for(signature, known, shapes.thresholds(graph), _asker(model, names))
        different = difference(model, converted, names, rows)
        if not different:
            said = (
                f"answers by onnxruntime agree with {source.runtime}'s within {TOLERANCE:g} on {len(rows)} sample rows"
            )
            return Verdict(Acceleration(True, "Converted", said), content)
        found = found or different
    if found:
        return Verdict(Acceleration(False, "OutputsDiffer", found))
    raise NotConvertible(problem)


def _asker(model: LoadedModel, names: Sequence[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    def ask(rows: np.ndarray) -> list[np.ndarray]:
        answer = model.predict(rows, tuple(names))
        return [answer[name] for name in names]

    return ask


if __name__ == "__main__":
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main()
