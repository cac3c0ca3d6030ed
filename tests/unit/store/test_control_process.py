"""The control process as its supervisor sees it. Ray is not there: it waits for it, and ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from operators.local.home import Home
from operators.local.wake import wake

MODULES_TOO_LARGE = {"ray", "numpy", "sklearn", "pandas", "typer"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "ray.token").write_text("secret\n")
    return Home(tmp_path)


def start(home: Home) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "operators.local.control", "--port", "1", "--ray", "http://127.0.0.1:1"]
    environment = {**os.environ, "TIDEGATE_HOME": str(home.root)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(home: Home) -> Iterator[subprocess.Popen[str]]:
    with start(home) as process:
        try:
            deadline = time.monotonic() + 30
            while not wake(home.control_socket):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def test_it_ends_cleanly_when_told_to_and_leaves_no_socket(home: Home) -> None:
    with running(home) as process:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log
        assert "stopped; traffic goes on with the last routes" in log
        assert "Traceback" not in log
        assert not home.control_socket.exists()


def test_a_second_one_on_the_same_folder_says_why_it_cannot_run(home: Home) -> None:
    with running(home) as first, start(home) as second:
        _, log = second.communicate(timeout=20)
        assert second.returncode == 1
        assert "another control loop is running" in log
        assert first.poll() is None


def test_without_the_token_it_says_what_is_missing(home: Home) -> None:
    home.ray_token.unlink()
    with start(home) as process:
        _, log = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "ray.token" in log
        assert "Traceback" not in log


def test_an_address_of_prometheus_that_is_none_ends_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_PROMETHEUS_URL", "prometheus:9090")
    with start(home) as process:
        _, log = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "TIDEGATE_PROMETHEUS_URL must be" in log
        assert "Traceback" not in log


def test_a_damaged_store_is_said_and_ends_it(home: Home) -> None:
    home.store.write_bytes(b"no database" * 1000)
    with start(home) as process:
        _, log = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "is damaged" in log


def test_it_stays_small(home: Home) -> None:
    with running(home) as process:
        assert psutil.Process(process.pid).memory_info().rss < 130e6


def test_it_imports_none_of_the_large_libraries() -> None:
    code = "import operators.local.control, sys; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not MODULES_TOO_LARGE & set(loaded)
