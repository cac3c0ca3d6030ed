"""What a scenario may name besides itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from operators.api import ModelRollout


@dataclass(frozen=True, slots=True)
class Files:
    """Logs and manifests, both from `folder` on.

    `manifest` reads one manifest. It raises `ValueError` or `InvalidManifest`.
    """

    folder: Path
    manifest: Callable[[Path], ModelRollout]
