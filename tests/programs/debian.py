"""Programs of Debian's packages, for tests, without installing them: Prometheus and promtool.

Looked for on the `PATH` and in the user's cache; what is in neither is taken from Debian's package, once. Any user may
do that: the package is only unpacked, and where the machine has no lists of packages, private ones are fetched.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

PACKAGES: Final = {"prometheus": "prometheus", "promtool": "prometheus"}
"""The package that each program is in."""
SECONDS: Final = 600


@cache
def program(name: str) -> Path:
    """The executable. Raises `FileNotFoundError` that says how to get it."""
    package = PACKAGES[name]
    for found in (shutil.which(name), shutil.which(name, path=str(_cache() / package / "usr" / "bin"))):
        if found is not None:
            return Path(found)
    return _unpacked(package) / "usr" / "bin" / name


def _cache() -> Path:
    """The user's folder for what was unpacked."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "tidegate" / "programs" / "debian"


def _unpacked(package: str) -> Path:
    """The folder with a package's files."""
    target = _cache() / package
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"taking {package} from Debian's package (once)", flush=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        unfinished = Path(folder) / "files"
        _run(Path(folder), "dpkg-deb", "--extract", _downloaded(package, Path(folder)).name, unfinished.name)
        try:
            unfinished.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            # Somebody else was faster.
    return target


def _downloaded(package: str, folder: Path) -> Path:
    """The package's file, by the machine's lists of packages or, where they do not have it, by lists of our own."""
    try:
        _run(folder, "apt-get", "download", package)
    except FileNotFoundError:
        own = [
            f"--option=Dir::State::Lists={folder / 'lists'}",
            f"--option=Dir::Cache={folder / 'cache'}",
            "--option=APT::Sandbox::User=root",  # the user that apt would become otherwise cannot write there
        ]
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        _run(folder, "apt-get", *own, "update")
        _run(folder, "apt-get", *own, "download", package)
    (file,) = folder.glob(f"{package}_*.deb")
    return file


def _run(folder: Path, program: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [program, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        failure = f"{done.stdout}{done.stderr}" if done.returncode != 0 else None
    except FileNotFoundError as error:
        failure = str(error)
    if failure is not None:
        raise FileNotFoundError(
            "a program that these tests need is not on the PATH and could not be taken from Debian's package; install "
            f"it: {', '.join(PACKAGES)}. `{program} {' '.join(arguments)}` said: {failure}"
        )
