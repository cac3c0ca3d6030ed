"""`python -m benchmarks.peers check [NAME…]`: start contenders, one after the other, and check their answers.

What is not installed yet is installed first.

`python -m benchmarks.peers lock` writes the locks of their packages anew.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
from sklearn.datasets import load_iris

from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.environments import EnvironmentFailed, ensure, lock
from benchmarks.peers.running import ContenderFailed, Usage, WrongAnswer, check, ready, started

MODEL = Path("deployments/examples/models/iris-1.joblib")


@dataclass(frozen=True, slots=True)
class Checked:
    """A contender that answered rightly: seconds to its first answer, requests that were compared, and what it used."""

    seconds: float
    answers: int
    usage: Usage


def check_one(contender: Contender, rows: Sequence[Sequence[float]], expected: Sequence[int]) -> Checked:
    """Install, start and ask one contender."""
    with started(contender, ensure(contender.packages), MODEL) as run:
        seconds = asyncio.run(ready(run, rows[:1]))
        return Checked(seconds, asyncio.run(check(run, rows, expected)), run.usage())


def check_all(contenders: Sequence[Contender]) -> int:
    """Print a table, and return how many contenders failed."""
    rows = load_iris(return_X_y=True)[0].tolist()
    expected = [int(label) for label in joblib.load(MODEL).predict(rows)]
    failures: list[str] = []
    print(f"{'contender':20}{'version':10}{'ready':>9}{'processes':>11}{'RSS':>10}{'PSS':>10}  answers")
    for contender in contenders:
        line = f"{contender.name:20}{contender.version:10}"
        try:
            checked = check_one(contender, rows, expected)
        except (EnvironmentFailed, ContenderFailed, WrongAnswer) as error:
            failures.append(str(error))
            print(f"{line}failed: {str(error).splitlines()[0]}", flush=True)
            continue
        usage = checked.usage
        memory = f"{usage.resident / 2**20:7.0f} MB{usage.proportional / 2**20:7.0f} MB"
        print(f"{line}{checked.seconds:7.1f} s{usage.processes:11}{memory}  {checked.answers} right", flush=True)
    for failure in failures:
        print(f"\n{failure}")
    return len(failures)


def main() -> None:
    """Do what is asked for; exits with 1 when a contender fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("action", choices=["check", "lock"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these contenders")
    options = parser.parse_args()
    by_name = {contender.name: contender for contender in CONTENDERS}
    if unknown := [name for name in options.names if name not in by_name]:
        parser.error(f"no contender {', '.join(unknown)}; there are {', '.join(by_name)}")
    chosen = [by_name[name] for name in options.names] or list(CONTENDERS)
    if options.action == "lock":
        for packages in dict.fromkeys(contender.packages for contender in chosen):
            lock(packages)
            print(packages.lock)
    elif check_all(chosen):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
