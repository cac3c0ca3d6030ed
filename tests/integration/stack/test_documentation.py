"""The quickstart is run as it stands: each `console` command against a stack of its own, in the order of the page.

The first command starts the stack, so its output is what `tidegate up` printed.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.pages import Reader, commands

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "docs" / "quickstart.md"
PORT = "8080"


def test_the_quickstart_does_what_it_says(new_stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = new_stack()
    examples = tmp_path / "deployments" / "examples"
    shutil.copytree(ROOT / "deployments" / "examples", examples)
    monkeypatch.chdir(tmp_path)
    stack.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    page = QUICKSTART.read_text().replace(f":{PORT}/", f":{stack.port}/").replace(f":{PORT};", f":{stack.port};")
    start, *walk = commands(page)
    assert start.text == "make run"  # which is `tidegate up deployments/examples` once everything is set up
    stack.start(Path("deployments/examples"))
    for name in ("digits", "iris"):
        stack.until(name, lambda status: status.get("phase") == "Healthy", 120)
    reader = Reader(stack.environment)
    for command in walk:
        reader.run(command)
    reader.compare(start, (stack.home / "up.log").read_text())
