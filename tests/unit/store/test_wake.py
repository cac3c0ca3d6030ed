"""The tap on the shoulder between two processes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from operators.local.wake import WakeError, listening, wake


def test_nobody_is_woken_when_nothing_listens(tmp_path: Path) -> None:
    assert wake(tmp_path / "control.sock") is False


async def test_a_tap_calls_the_listener_once_its_loop_runs(tmp_path: Path) -> None:
    woken = asyncio.Event()
    with listening(tmp_path / "run" / "control.sock", woken.set):
        assert wake(tmp_path / "run" / "control.sock") is True
        await asyncio.wait_for(woken.wait(), 5)


async def test_many_taps_before_the_loop_looks_never_block_the_one_who_taps(tmp_path: Path) -> None:
    woken = asyncio.Event()
    with listening(tmp_path / "control.sock", woken.set):
        assert all(wake(tmp_path / "control.sock") for _ in range(5000))
        await asyncio.wait_for(woken.wait(), 5)


async def test_another_process_taps(tmp_path: Path) -> None:
    path, woken = tmp_path / "control.sock", asyncio.Event()
    code = f"from pathlib import Path; from operators.local.wake import wake; exit(not wake(Path({str(path)!r})))"
    with listening(path, woken.set):
        process = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
        assert process.returncode == 0
        await asyncio.wait_for(woken.wait(), 5)


async def test_a_second_listener_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    path, woken = tmp_path / "control.sock", asyncio.Event()
    with listening(path, woken.set):
        with pytest.raises(WakeError, match="another control loop is running"), listening(path, woken.set):
            pass
        assert wake(path) is True


async def test_a_socket_left_behind_by_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    code = (
        f"import socket, os; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind({str(path)!r}); os._exit(0)"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True)
    assert path.exists()
    assert wake(path) is False
    with listening(path, lambda: None):
        assert wake(path) is True


async def test_the_socket_is_gone_and_private_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with listening(path, lambda: None):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_a_path_too_long_for_a_socket_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "control.sock"
    assert wake(path) is False
    with pytest.raises(WakeError, match="TIDEGATE_HOME"), listening(path, lambda: None):
        pass
