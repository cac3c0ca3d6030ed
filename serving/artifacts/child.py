"""`python -m serving.artifacts.child`: one download, in a process that does nothing else.

The whole process goes through one gate, whatever library it uses; a deadline ends it, wherever it hangs; what the
libraries need in memory goes with it. It reads one line of JSON, a `Job`, and writes one, an `Answer`. It ends when its
standard input does: then its parent is gone.
"""

import errno
import json
import os
import resource
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from serving.artifacts.gate import Gate
from serving.artifacts.redact import redact
from serving.artifacts.settings import PREFIX, ArtifactSettings
from serving.errors import ArtifactRefused, ArtifactTooLarge, ArtifactUnavailable, ModelLoadError
from serving.uri import Location, parse


@dataclass(frozen=True, slots=True)
class Job:
    """What `uri` names, with `suffix` after it, goes to the path `target`, if it has at most `largest` bytes."""

    uri: str
    suffix: str
    target: str
    largest: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The name of the `ModelLoadError` that it came to, and its message; both empty for none."""

    error: str = ""
    message: str = ""


def main() -> None:
    """Do the job."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def end(error: str, message: str) -> None:
        print(json.dumps(asdict(Answer(error, redact(message, os.environ)))), file=answers, flush=True)
        os._exit(0)  # threads of libraries wait for nothing that matters now

    def refuse(why: str) -> None:
        end(ArtifactRefused.__name__, f"{why}: it would have to be named in {PREFIX}HOSTS")

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest, job.largest))
        gate = Gate(ArtifactSettings.read(os.environ).hosts, refuse)
        gate.install()
        _fetch(parse(job.uri), job, gate)
    except ModelLoadError as error:
        end(type(error).__name__, str(error))
    except BaseException as error:  # noqa: BLE001 - whatever a library raises is the reason
        if isinstance(error, OSError) and error.errno == errno.EFBIG:  # there is more than was said before
            end(ArtifactTooLarge.__name__, f"it is larger than {job.largest} bytes, the most that is allowed")
        end(ArtifactUnavailable.__name__, f"{type(error).__name__}: {error}")
    end("", "")


def _fetch(location: Location, job: Job, gate: Gate) -> None:
    target = Path(job.target)
    beside = Location(location.scheme, location.authority, location.path.rstrip("/") + job.suffix)
    # One of these libraries is imported, when the gate is there.
    if location.scheme in ("http", "https"):
        from serving.artifacts import web  # noqa: PLC0415

        web.fetch(beside, target, gate.hosts, job.largest)
    elif location.scheme == "models":
        from serving.artifacts import registry  # noqa: PLC0415

        registry.fetch(location, target, job.largest)
    else:
        from serving.artifacts import objects  # noqa: PLC0415

        objects.fetch(beside, target, job.largest)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
