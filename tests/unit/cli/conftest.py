"""A state folder of its own for every test, and somebody who listens in the place of the control loop."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import manifest

from operators.local.database import Database
from operators.local.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TIDEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TIDEGATE_CONTEXT", raising=False)
    return Home(tmp_path / "home")


@pytest.fixture
def database(home: Home) -> Database:
    return Database(home.store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Manifests beside their models; iris has two versions."""
    (tmp_path / "models").mkdir()
    for model in ("iris-1", "iris-2", "digits-1"):
        (tmp_path / "models" / model).write_text(model)
    for name, model in (("iris", "iris-1"), ("digits", "digits-1"), ("next", "iris-2")):
        (tmp_path / f"{name}.yaml").write_text(manifest("iris" if name == "next" else name, f"./models/{model}"))
    return tmp_path


@pytest.fixture
def operator(home: Home) -> Iterator[socket.socket]:
    """Somebody who listens for taps on the shoulder."""
    home.control_socket.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(home.control_socket))
        listener.setblocking(False)
        yield listener
