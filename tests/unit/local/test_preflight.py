"""Nothing is started on a machine that is not fit for it, and the sentence says what to do."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from operators.local.home import Home
from operators.local.preflight import CannotStart, alone, require_memory, require_port

HOLDER = """
import pathlib, sys
from operators.local.home import Home
from operators.local.preflight import alone

with alone(Home(pathlib.Path(sys.argv[1])), 8080):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_too_little_memory_is_refused_with_both_figures(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  8000000 kB\nMemAvailable:  600000 kB\n")
    with pytest.raises(CannotStart, match=r"only 614 MB .* about 1,500 MB: close something"):
        require_memory(meminfo)


def test_enough_memory_passes(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable:  6000000 kB\n")
    require_memory(meminfo)


def test_a_system_that_does_not_tell_its_memory_passes(tmp_path: Path) -> None:
    require_memory(tmp_path / "absent")


def test_a_port_that_somebody_listens_on_is_refused_with_the_way_out() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"port {port} of 127.0.0.1 .*--port"):
            require_port(port)
    require_port(port)


def test_a_second_stack_on_the_same_folder_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with (
        alone(home, 8080),
        pytest.raises(CannotStart, match=rf"already runs on {tmp_path} \(process {os.getpid()}\).*TIDEGATE_HOME"),
        alone(home, 8081),
    ):
        pass
    with alone(home, 8080):
        pass


def test_the_state_folder_is_free_as_soon_as_its_holder_was_killed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CannotStart, match=f"process {holder.pid}"), alone(home, 8080):
            pass
        holder.kill()
    assert json.loads(home.stack_file.read_text())["pid"] == holder.pid
    with alone(home, 8080):
        assert json.loads(home.stack_file.read_text()) == {"pid": os.getpid(), "port": 8080}


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}', "[1]"])
def test_a_holder_that_has_not_yet_said_who_it_is_is_respected_all_the_same(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    with alone(home, 8080):
        home.stack_file.write_text(content)
        with pytest.raises(CannotStart, match=f"already runs on {tmp_path}: "), alone(home, 8081):
            pass


def test_a_folder_that_cannot_be_held_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.stack_file.mkdir(parents=True)
    with pytest.raises(CannotStart, match=f"{home.stack_file} cannot be used"), alone(home, 8080):
        pass
