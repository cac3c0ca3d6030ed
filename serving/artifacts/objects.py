"""Files and folders in object stores, through fsspec. Credentials are those that each package finds by itself."""

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Final

from serving.errors import ArtifactNotFound, ArtifactTooLarge, ArtifactUnavailable, UnsupportedModel
from serving.uri import Location

PACKAGES: Final = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "az": ("adlfs", "azure"), "abfs": ("adlfs", "azure")}
"""For each scheme, the package that speaks it, and Tidegate's extra that installs it."""
THREADS: Final = 4


def fetch(location: Location, target: Path, largest: int) -> None:
    """Copy an object to the file `target`, or all objects below a key into a folder. Raises `ModelLoadError`."""
    container = location.authority.partition("@")[0]
    root = f"{container}/{location.path.rstrip('/')}"
    system = _file_system(location)
    try:
        listed = system.find(root, detail=True)
        if isinstance(listed, list):  # so adlfs says that it is an object itself
            listed = {name: system.info(name) for name in listed}
    except FileNotFoundError:
        listed = {}
    found = {
        name: int(entry["size"] or 0)
        for name, entry in listed.items()
        if name == root or (name.startswith(f"{root}/") and not name.endswith("/"))  # a mark of an empty folder
    }
    if not found:
        raise ArtifactNotFound(f"there is nothing at {location.path} in {container}, or it may not be seen")
    if (total := sum(found.values())) > largest:
        raise ArtifactTooLarge(f"it has {total} bytes, {largest} are allowed")
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda name: _copy(system, name, _place(name, root, target)), found):
            pass


def _copy(system: Any, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    system.get_file(name, str(path))


def _place(name: str, root: str, target: Path) -> Path:
    """Where an object belongs. A key is any text: `..` in one would lead out of the folder."""
    if name == root:
        return target
    parts = name.removeprefix(f"{root}/").split("/")
    if "\0" in name or {"", ".", ".."} & set(parts):
        raise ArtifactUnavailable(f"the object {name!r} does not make a file in a folder")
    return target / PurePosixPath(*parts)


def _file_system(location: Location) -> Any:
    """Raises `UnsupportedModel` when its package is missing."""
    package, extra = PACKAGES[location.scheme]
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # it would open connections past Python's sockets
    try:
        kind = import_module("fsspec").get_filesystem_class(location.scheme)
    except ImportError as error:
        raise UnsupportedModel(
            f"{location.scheme}: needs the package {package}, which is not installed: build the image of the Ray pods "
            f"with tidegate[{extra}], or add {package} to spec.serving.pip"
        ) from error
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if location.scheme == "abfs":
        options["account_name"] = location.authority.partition("@")[2].partition(".")[0]
    if location.scheme in ("az", "abfs"):
        options["anon"] = os.environ.get("AZURE_STORAGE_ANON", "false").lower() == "true"
    return kind(**options)
