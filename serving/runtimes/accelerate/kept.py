"""Verdicts beside the cached models that they are about: `<cache>/.accelerated/<sha256 of the model>/<key>`.

They go when their model has left the cache. Nothing depends on them but the time of the next start, so that whatever
goes wrong with them is logged and no more.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from serving.runtimes.accelerate.job import Verdict
from serving.spec import ModelSource

RELEASE: Final = 1
"""Of this package's own part in a conversion."""
FOLDER: Final = ".accelerated"
PACKAGES: Final = (
    "numpy", "onnx", "onnxruntime", "onnxmltools", "skl2onnx", "scikit-learn", "xgboost", "xgboost-cpu", "lightgbm",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the verdict about one model under one manifest is kept."""

    file: Path

    @classmethod
    def of(cls, cache: Path, sha256: str, source: ModelSource) -> "Kept":
        """The place for a model of this content; other inputs or other libraries are another place."""
        key = {
            "release": RELEASE,
            "runtime": source.runtime,
            "inputs": [asdict(entry) for entry in source.inputs],
            "versions": {name: _version(name) for name in PACKAGES},
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        return cls(cache / FOLDER / sha256 / name)

    def read(self) -> Verdict | None:
        """The verdict, if there is one."""
        try:
            return Verdict.from_bytes(self.file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the kept conversion %s is left out: %s", self.file, error)
            return None

    def write(self, verdict: Verdict) -> None:
        """Keep a verdict, and drop those of models that are not cached any more."""
        try:
            self._sweep()
            with tempfile.NamedTemporaryFile(dir=self.file.parent, prefix=".incoming-", delete=False) as file:
                file.write(verdict.to_bytes())
            Path(file.name).replace(self.file)
        except OSError as error:
            log.warning("the conversion cannot be kept as %s: %s", self.file, error)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold other replicas of the node up that would convert the same model: when they go on, they find it."""
        lock = -1
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("conversions cannot be kept in %s: %s", self.file.parent, error)
        try:
            yield
        finally:
            if lock >= 0:
                os.close(lock)

    def _sweep(self) -> None:
        mine = self.file.parent
        for folder in mine.parent.iterdir():
            if folder != mine and not (mine.parent.parent / folder.name).exists():
                with suppress(OSError):
                    shutil.rmtree(folder)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
