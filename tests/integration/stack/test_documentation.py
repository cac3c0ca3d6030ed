"""The quickstart is run as it stands: each `console` command against a stack of its own, in the order of the page.

The rules of the page, which keep it readable and true at once:

- A line that begins with `$ ` is a command, lines that begin with `> ` after it go on with it; the lines up to the next
  command are what it prints. The first command starts the stack, so its output is what `tidegate up` printed.
- Every shown line is found in the output, in this order; the output may have more lines. The number of blanks does not
  count, `…` stands for anything, and a line of `…` alone for lines that are left out.
- Ten hex digits are the id of a version: whatever is found in its place the first time must be there ever after.
- A command whose shown output has a line that begins with `error:` ends with exit code 1, every other with 0.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "docs" / "quickstart.md"
PORT = "8080"
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"(…|\b[0-9a-f]{10}\b)")


@dataclass
class Command:
    """One command of the page and the lines that are shown below it."""

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return int(any(line.startswith("error:") for line in self.shown))


def commands(page: str) -> Iterator[Command]:
    """All commands of the page's console blocks, in order."""
    for block in CONSOLE.findall(page):
        command: Command | None = None
        for line in block.splitlines():
            if line.startswith("$ "):
                if command is not None:
                    yield command
                command = Command(line[2:])
            elif command is None:
                raise AssertionError(f"a console block must begin with a command, not with {line!r}")
            elif line.startswith("> ") and not command.shown:
                command.text += f"\n{line[2:]}"
            else:
                command.shown.append(line)
        if command is not None:
            yield command


@dataclass
class Reader:
    """Compares what is shown with what was printed. `versions` are the ids that stand for the page's own."""

    versions: dict[str, str] = field(default_factory=dict)

    def compare(self, command: Command, printed: str) -> None:
        """Raise `AssertionError` for the first shown line that was not printed."""
        lines = iter([" ".join(line.split()) for line in printed.splitlines()])
        for shown in command.shown:
            if shown.strip() not in ("", "…") and not any(self._is(shown, line) for line in lines):
                raise AssertionError(f"{command.text}\nhas not printed (from here on)\n  {shown}\nbut\n{printed}")

    def _is(self, shown: str, line: str) -> bool:
        """Whether the printed line is the shown one; if so, the ids in it are known from now on."""
        ids: list[str] = []
        pattern = ""
        for part in VARIABLE.split(" ".join(shown.split())):
            if part == "…":
                pattern += ".*"
            elif VARIABLE.fullmatch(part) is None:
                pattern += re.escape(part)
            elif part in self.versions:
                pattern += self.versions[part]
            elif part in ids:
                pattern += rf"(?P=v{part})"
            else:
                ids.append(part)
                pattern += rf"(?P<v{part}>[0-9a-f]{{10}})"
        found = re.fullmatch(pattern, line)
        if found is not None:
            self.versions |= {version: found[f"v{version}"] for version in ids}
        return found is not None


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
    reader = Reader()
    for command in walk:
        done = subprocess.run(
            ["bash", "-c", command.text],
            env=stack.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == command.exit_code, f"{command.text}: {done.returncode}\n{done.stdout}"
        reader.compare(command, done.stdout)
    reader.compare(start, (stack.home / "up.log").read_text())
