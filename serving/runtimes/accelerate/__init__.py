"""`accelerate: onnx`: a model is converted when it is loaded, and answered by onnxruntime if it stays the same model.

convert.py    the ways to convert, by library; lightgbm.py and graphs.py what converters leave undone
samples.py    rows on which the two are compared
agreement.py  what counts as the same
converted.py  the model that answers
child.py      all of it in a process of its own
job.py        what that is told, and what came of it; kept.py where it is kept
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.errors import ModelLoadError
from serving.runtimes.accelerate.converted import Converted
from serving.runtimes.accelerate.job import JOB, Job, Verdict
from serving.runtimes.accelerate.kept import Kept
from serving.runtimes.base import LoadedModel
from serving.runtimes.onnxsession import Session
from serving.spec import Acceleration, ModelSource

__all__ = ["accelerated"]

SECONDS: Final = 120
"""How long a conversion with its comparison may take."""
_LASTING: Final = ("Converted", "OutputsDiffer", "NotConvertible")
"""Reasons that the same libraries would find again."""

log = logging.getLogger(__name__)


def accelerated(
    model: LoadedModel, path: Path, sha256: str, source: ModelSource, cache: Path, *, seconds: int = SECONDS
) -> LoadedModel:
    """The model as it is to be served: converted, or as it is. Its signature says which, and why.

    It was loaded from `path`, whose content has this SHA-256, in the folder `cache`. Blocks as long as a conversion
    takes, `seconds` at most, unless one of the same model is kept in the cache.
    """
    kept = Kept.of(cache, sha256, source)
    with kept.alone():
        verdict = kept.read()
        if verdict is None:
            verdict = _judged(Job(str(path), source, "", seconds))
            if verdict.acceleration.reason in _LASTING:
                kept.write(verdict)
    acceleration = verdict.acceleration
    if acceleration.done:
        try:
            return Converted(model, Session.open(verdict.graph, f"{path.name}, converted,"), acceleration)
        except ModelLoadError as error:
            acceleration = Acceleration(False, "NotConvertible", str(error))
    log.warning("%s is served as it is (%s): %s", path.name, acceleration.reason, acceleration.message)
    return Plain(model, acceleration)


class Plain:
    """A model that is served as it is, and says why."""

    def __init__(self, model: LoadedModel, acceleration: Acceleration) -> None:
        self._model = model
        self.signature = replace(model.signature, acceleration=acceleration)

    def predict(self, rows: Any, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        return self._model.predict(rows, outputs)


def _judged(job: Job) -> Verdict:
    """Have a job done by a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = (sys.executable, "-P", "-m", "serving.runtimes.accelerate.child")
    with tempfile.TemporaryDirectory(prefix="tidegate-accelerate-") as folder:
        target = Path(folder, "verdict")
        told = JOB.dump_json(replace(job, target=str(target))) + b"\n"
        try:
            done = subprocess.run(  # noqa: S603 - this very program
                command, input=told, capture_output=True, env=environment, timeout=job.seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return _refusal("TookTooLong", f"converting it and comparing took more than {job.seconds} seconds")
        except OSError as error:
            return _refusal("Crashed", f"the process that converts it cannot be started: {error}")
        try:
            return Verdict.from_bytes(target.read_bytes())
        except (OSError, ValueError):
            return _refusal("Crashed", f"the process that converts it {_end(done.returncode, done.stderr)}")


def _refusal(reason: str, message: str) -> Verdict:
    return Verdict(Acceleration(False, reason, message))


def _end(code: int, noise: bytes) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    last = noise.decode(errors="replace").strip().splitlines()[-1:]
    return f"ended with code {code}{': ' + last[0] if last else ''}"
