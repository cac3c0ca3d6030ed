"""A virtual environment for each contender, made by uv and kept in the user's cache folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.contenders import Packages

_INSTALLED = ".installed"
INSTALL_TIMEOUT_SECONDS = 1800


class EnvironmentFailed(RuntimeError):
    """uv is missing, or could not install what a contender needs."""


def folder_of(packages: Packages) -> Path:
    """Where the environment is kept: another folder for every other lock or Python, so that none is ever changed."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(sys.version.encode() + packages.lock.read_bytes()).hexdigest()[:16]
    return Path(home, "tidegate", "peers", f"{packages.name}-{digest}")


def ensure(packages: Packages) -> Path:
    """The environment's interpreter; installs what the lock names if that was not done before.

    Bytecode is compiled then, so that start-up times compare loading and not compiling. Raises `EnvironmentFailed`.
    """
    folder = folder_of(packages)
    python = folder / "bin" / "python"
    if not (folder / _INSTALLED).exists():
        _uv("venv", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--python", str(python), "--compile-bytecode", "--requirement", str(packages.lock))
        (folder / _INSTALLED).touch()
    return python


def lock(packages: Packages) -> None:
    """Write the lock anew from the requirements. Raises `EnvironmentFailed`."""
    packages.lock.parent.mkdir(exist_ok=True)
    options = ("--python-version", "3.11", "--no-header", "--no-annotate", "--output-file", str(packages.lock))
    _uv("pip", "compile", "--upgrade", *options, "-", text="\n".join(packages.requirements))


def _uv(*arguments: str, text: str = "") -> None:
    beside = Path(__file__).parents[2] / ".uv" / "bin" / "uv"
    uv = os.environ.get("UV") or shutil.which("uv") or str(beside)
    command = [uv, *arguments, "--quiet"]
    try:
        subprocess.run(command, input=text, text=True, capture_output=True, check=True, timeout=INSTALL_TIMEOUT_SECONDS)
    except FileNotFoundError as error:
        raise EnvironmentFailed(f"there is no {uv}: run `make setup`, which installs it, or set UV to one") from error
    except subprocess.CalledProcessError as error:
        raise EnvironmentFailed(f"`{' '.join(command)}` failed:\n{error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"`{' '.join(command)}` took more than {INSTALL_TIMEOUT_SECONDS} s") from error
