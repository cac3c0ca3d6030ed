"""A page of the documentation as a test: its `console` blocks are commands, and what they print.

The rules of such a page, which keep it readable and true at once:

- A line that begins with `$ ` is a command, lines that begin with `> ` after it go on with it; the lines up to the next
  command are what it prints.
- Every shown line is found in the output, in this order; the output may have more lines. The number of blanks does not
  count, `…` stands for anything, and a line of `…` alone for lines that are left out.
- Ten hex digits are the id of a version: whatever is found in its place the first time must be there ever after.
- A command whose shown output has a line that begins with `error:` ends with exit code 1, every other with 0.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"(…|\b[0-9a-f]{10}\b)")


@dataclass
class Command:
    """One command of a page and the lines that are shown below it."""

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
    """Runs commands and compares what they print with what is shown; `versions` are the ids in place of the page's."""

    environment: Mapping[str, str]
    versions: dict[str, str] = field(default_factory=dict)

    def run(self, command: Command, seconds: float = 120) -> None:
        """Raise `AssertionError` when a command ends otherwise than the page says, or prints something else."""
        done = subprocess.run(
            ["bash", "-c", command.text],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == command.exit_code, f"{command.text}: {done.returncode}\n{done.stdout}"
        self.compare(command, done.stdout)

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
