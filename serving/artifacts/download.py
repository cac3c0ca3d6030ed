"""A download from outside the node, seen from the replica: in a process of its own, bounded in time and size."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from serving.artifacts.cache import size_of
from serving.artifacts.child import Answer, Job
from serving.artifacts.redact import redact
from serving.artifacts.settings import ArtifactSettings
from serving.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactTooLarge,
    ArtifactUnavailable,
    BadArtifactSettings,
    UnsupportedModel,
)

LOOK_SECONDS: Final = 0.5
"""How often the size of what has come is looked at."""
TELL_SECONDS: Final = 10.0
"""How often the log says how far a download is."""
_ERRORS: Final = {
    error.__name__: error
    for error in (
        ArtifactNotFound, ArtifactRefused, ArtifactTooLarge, ArtifactUnavailable, BadArtifactSettings, UnsupportedModel,
    )
}  # fmt: skip

log = logging.getLogger(__name__)


def download(job: Job, settings: ArtifactSettings, environ: Mapping[str, str]) -> None:
    """Do a job in a process with this environment. Raises `ModelLoadError`; then something may be at the target.

    `ArtifactTooLarge` when there is more than the job allows, `ArtifactUnavailable` when it takes too long.
    """
    told = {**environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = (sys.executable, "-P", "-m", "serving.artifacts.child")
    with tempfile.TemporaryFile() as noise:
        process = subprocess.Popen(  # noqa: S603 - this very program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, env=told, text=True
        )
        try:
            _send(process, job)
            _watch(process, job, settings.timeout)
            answer = _answer(process, noise, environ)
        finally:
            process.kill()
            process.communicate()
    if answer.error:
        raise _ERRORS.get(answer.error, ArtifactUnavailable)(answer.message)


def _send(process: "subprocess.Popen[str]", job: Job) -> None:
    if process.stdin is not None:  # it stays open: the child ends with it
        with contextlib.suppress(BrokenPipeError):  # it died at once; its answer says so
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()


def _watch(process: "subprocess.Popen[str]", job: Job, timeout: float) -> None:
    """Return when the process has ended."""
    target = Path(job.target)
    begun = told = time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
            return
        now, size = time.monotonic(), size_of(target)
        if size > job.largest:
            raise ArtifactTooLarge(f"it is larger than {job.largest} bytes, the most that is allowed")
        if now - begun > timeout:
            raise ArtifactUnavailable(f"it was not there after {timeout:g} seconds, but {size} bytes of it")
        if now - told > TELL_SECONDS:
            told = now
            log.info("%s: %d bytes after %.0f seconds", job.uri, size, now - begun)


def _answer(process: "subprocess.Popen[str]", noise: IO[bytes], environ: Mapping[str, str]) -> Answer:
    text = process.stdout.readline() if process.stdout is not None else ""
    try:
        return Answer(**json.loads(text))
    except ValueError:
        noise.seek(0)
        last = noise.read().decode(errors="replace").strip().splitlines()[-1:]
        said = f": {redact(last[0], environ)}" if last else ""
        return Answer(
            ArtifactUnavailable.__name__, f"the process that downloads it ended with code {process.returncode}{said}"
        )
