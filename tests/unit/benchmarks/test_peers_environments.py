"""How an environment is made, and what is said when it cannot be. A shell script stands for uv."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.peers import environments
from benchmarks.peers.contenders import Packages
from benchmarks.peers.environments import EnvironmentFailed, ensure, folder_of, lock


@dataclass(frozen=True, slots=True)
class Elsewhere(Packages):
    """Packages whose lock is not in the repository."""

    at: Path = Path()

    @property
    def lock(self) -> Path:
        return self.at


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "lock.txt").write_text("peer==1.0\n")
    return Elsewhere("peer", ("peer==1.0",), tmp_path / "lock.txt")


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes down what it is called with, and makes the folder that `uv venv` names last but one."""
    program = tmp_path / "uv"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$1" = venv ] && mkdir -p "$5"\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setenv("UV", str(program))
    return program


def test_an_environment_is_installed_from_the_lock_once(packages: Packages, uv: Path) -> None:
    python = ensure(packages)
    assert python == folder_of(packages) / "bin" / "python"
    venv, install = (uv.parent / "calls").read_text().splitlines()
    assert venv.startswith("venv --clear --python ")
    assert install == f"pip install --python {python} --compile-bytecode --requirement {packages.lock} --quiet"
    assert ensure(packages) == python
    assert len((uv.parent / "calls").read_text().splitlines()) == 2


def test_another_lock_gets_another_environment(packages: Packages, uv: Path) -> None:
    before = ensure(packages)
    packages.lock.write_text("peer==1.1\n")
    assert ensure(packages) != before


def test_an_installation_that_fails_says_why_and_is_tried_again(packages: Packages, uv: Path) -> None:
    works = uv.read_text()
    uv.write_text(works.replace("exit 0", '[ "$1" = venv ] || { echo "no such version" >&2; exit 2; }'))
    with pytest.raises(EnvironmentFailed, match=r"uv pip install .*failed:\nno such version"):
        ensure(packages)
    uv.write_text(works)
    assert ensure(packages)


def test_a_missing_uv_is_said_with_the_command_that_installs_it(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV", str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentFailed, match="run `make setup`"):
        ensure(packages)


def test_an_installation_that_hangs_is_given_up(packages: Packages, uv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv.write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(environments, "INSTALL_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(EnvironmentFailed, match="took more than"):
        ensure(packages)


def test_a_lock_is_compiled_from_the_requirements(packages: Packages, uv: Path) -> None:
    uv.write_text(f'#!/bin/sh\necho "$@" > {uv.parent}/calls\ncat > {uv.parent}/input\n')
    lock(packages)
    assert (uv.parent / "input").read_text() == "peer==1.0"
    assert f"--output-file {packages.lock} -" in (uv.parent / "calls").read_text()
