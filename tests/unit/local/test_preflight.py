"""Nothing is started on a machine that is not fit for it, and the sentence says what to do."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from operators.local.home import Home
from operators.local.preflight import CannotStart, require_alone, require_memory, require_port


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
    home.stack_file.parent.mkdir()
    with subprocess.Popen(["tidegate", "30"], executable="sleep") as other:
        home.stack_file.write_text(json.dumps({"pid": other.pid}))
        with pytest.raises(CannotStart, match=f"process {other.pid}.*TIDEGATE_HOME"):
            require_alone(home)
        other.kill()


def test_a_process_id_that_was_given_to_another_program_since_does_not_stop_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.stack_file.parent.mkdir()
    with subprocess.Popen(["sleep", "30"]) as other:
        home.stack_file.write_text(json.dumps({"pid": other.pid}))
        require_alone(home)
        other.kill()


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}', '{"pid": 999999999}', "[1]"])
def test_what_a_killed_stack_left_behind_does_not_stop_the_next(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.stack_file.parent.mkdir()
    home.stack_file.write_text(content)
    require_alone(home)
