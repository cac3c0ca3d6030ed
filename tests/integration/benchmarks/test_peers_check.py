"""`python -m benchmarks.peers check` on a contender whose packages are among our own, so that nothing is installed."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers.contenders import FASTAPI, Packages


@pytest.fixture(autouse=True)
def our_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def python(packages: Packages) -> Path:
        return Path(sys.executable)

    monkeypatch.setattr(peers, "ensure", python)


def test_the_table_has_a_line_for_each_contender_and_a_failure_does_not_end_the_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = replace(FASTAPI, name="broken", command="$python -c nothing")
    assert peers.check_all([broken, FASTAPI]) == 1
    _, failed, right, *details = capsys.readouterr().out.splitlines()
    assert failed.startswith(f"broken              {FASTAPI.version}   failed: broken ended with 1")
    assert right.startswith(f"fastapi             {FASTAPI.version}")
    assert right.endswith("153 right")  # 150 rows alone, and in requests of 64
    assert "NameError" in "".join(details)


def test_a_name_that_no_contender_has_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["peers", "check", "torch"])
    with pytest.raises(SystemExit, match="2"):
        peers.main()
    assert "no contender torch; there are ray-serve, ray-serve-haproxy" in capsys.readouterr().err
