"""What `accelerate: onnx` gains: the same models as they are and converted, same machine, same run.

Two models (iris, and gradient boosting of 200 trees on 30 columns) with 1 and 64 rows per request: the model's call
alone, a replica alone, and the whole way through Envoy under `tidegate up`. Rounds alternate, so that a noisy neighbour
disturbs both; of calls and of a replica alone the CPU time is told as well, which it disturbs less.
`python -m benchmarks.accelerate`.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import joblib
import numpy as np
import psutil
import uvloop
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import GradientBoostingClassifier

from benchmarks.client import Load, Tally, answering, infer_body, post
from benchmarks.manymodels import tidegate
from benchmarks.spine import free_port
from serving.runtimes import load
from serving.server import ModelServer, ServerConfig
from serving.spec import ModelSource

IRIS = Path("deployments/examples/models/iris-1.joblib").absolute()
WAYS = ("plain", "onnx")
SIZES = (1, 64)
MANIFEST = """
apiVersion: tidegate.dev/v1alpha1
kind: ModelRollout
metadata: {{name: {name}}}
spec:
  model: {{uri: "{uri}", runtime: sklearn{more}}}
  serving: {{resources: {{cpu: 50m}}}}
"""

Contender = tuple[str, str]
"""A model, and how it is served."""
Replica = tuple[int, psutil.Process | None]
"""A port, and the process of the replica behind it, if that is known."""
Asked = tuple[str, np.ndarray]
"""A model's name in requests, with `{way}` in it, and the rows to ask."""


def models(folder: Path) -> Mapping[str, tuple[Path, np.ndarray]]:
    """Both models, each with rows to ask."""
    rows, labels = make_classification(2000, 30, n_informative=12, n_classes=3, random_state=0)
    path = folder / "boosting.joblib"
    joblib.dump(GradientBoostingClassifier(n_estimators=200, random_state=0).fit(rows, labels), path)
    return {"iris": (IRIS, load_iris(return_X_y=True)[0]), "boosting": (path, rows)}


def source(path: Path, way: str) -> ModelSource:
    """The model as one of the contenders has it."""
    return replace(ModelSource(path.as_uri(), "sklearn"), accelerate="onnx" if way == "onnx" else None)


def requests(name: str, rows: np.ndarray, size: int) -> list[bytes]:
    """Requests of so many rows, each other ones."""
    starts = range(0, len(rows) - size + 1, size)
    return [
        post(f"/v2/models/{name}/infer", infer_body(rows[start : start + size].tolist())) for start in list(starts)[:30]
    ]


def serve(path: str, way: str) -> None:
    """A replica's process."""
    with tempfile.TemporaryDirectory() as cache:
        model = load(source(Path(path), way), Path(cache))
    server = ModelServer(ServerConfig(model="model", version="v1"), model)
    print(server.start(), flush=True)
    sys.stdin.read()
    server.stop()


@contextmanager
def replica(path: Path, way: str) -> Iterator[Replica]:
    """A replica without Envoy."""
    command = [sys.executable, "-m", "benchmarks.accelerate", "--serve", str(path), way]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.stdin.close()


def cpu_seconds(process: psutil.Process | None) -> float:
    """What a process has used so far."""
    times = None if process is None else process.cpu_times()
    return 0.0 if times is None else float(times.user + times.system)


async def measure(port: int, payloads: Sequence[bytes], options: argparse.Namespace) -> Tally:
    """A closed loop for so many seconds. Raises unless every answer is good."""
    run = Load(port, cycle(payloads))
    asyncio.get_running_loop().call_later(options.seconds, setattr, run, "ended", True)
    await run.run(options.connections)
    if run.tally.failed:
        raise SystemExit(f"{run.tally.failed} requests failed: {run.tally.failures[:3]}")
    return run.tally


def call_seconds(path: Path, rows: np.ndarray, options: argparse.Namespace) -> dict[tuple[str, int], float]:
    """CPU seconds of one call of the model, the least of the rounds, by way and number of rows."""
    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        loaded = {way: load(source(path, way), Path(cache)) for way in WAYS}
    said = loaded["onnx"].signature.acceleration
    if said is None or not said.done:
        raise SystemExit(f"{path} was not converted: {said}")
    for _ in range(options.rounds):
        for size in SIZES:
            for way, model in loaded.items():
                count, began = 0, time.process_time()
                while (spent := time.process_time() - began) < options.seconds / 4:
                    model.predict(rows[count % 20 : count % 20 + size], ("predict",))
                    count += 1
                found.setdefault((way, size), []).append(spent / count)
    return {key: min(values) for key, values in found.items()}


def compare(
    title: str, replicas: Mapping[Contender, Replica], given: Mapping[str, Asked], options: argparse.Namespace
) -> None:
    """Run the rounds and print them."""
    for name, (model, rows) in given.items():
        for size in SIZES:
            tallies: dict[str, list[Tally]] = {way: [] for way in WAYS}
            costs: dict[str, list[float]] = {way: [] for way in WAYS}
            for number in range(options.rounds + 1):
                for way in WAYS if number % 2 else reversed(WAYS):
                    payloads = requests(model.format(way=way), rows, size)
                    port, process = replicas[name, way]
                    before = cpu_seconds(process)
                    tally = uvloop.run(measure(port, payloads, options))
                    if number:  # the first is a warm-up
                        tallies[way].append(tally)
                        costs[way].append((cpu_seconds(process) - before) / tally.answered * 1e6)
            speeds = {way: [tally.answered / options.seconds for tally in group] for way, group in tallies.items()}
            middle = {way: statistics.median(group) for way, group in speeds.items()}
            halves = {way: statistics.median(tally.percentile(0.5) for tally in tallies[way]) * 1e3 for way in WAYS}
            ratios = [one / other for one, other in zip(speeds["onnx"], speeds["plain"], strict=True)]
            print(
                f"{title:14} {name:9} {size:3} rows: "
                + ", ".join(f"{way} {middle[way]:7.0f} requests/s (p50 {halves[way]:.2f} ms)" for way in WAYS)
                + f", ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
                + "".join(f", {way} {min(group):.0f} µs of CPU" for way, group in costs.items() if any(group)),
                flush=True,
            )


def main() -> None:
    """Start everything, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["TIDEGATE_ARTIFACT_CODE"] = "always"  # as `tidegate up` has it
    if options.serve:
        serve(*options.serve)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.connections} connections, {options.rounds} rounds")
    with tempfile.TemporaryDirectory(prefix="tg-") as root:
        run(Path(root), options)


def run(root: Path, options: argparse.Namespace) -> None:
    """All measurements, in a folder of their own."""
    given = models(root)
    for name, (path, rows) in given.items():
        seconds = call_seconds(path, rows, options)
        for size in SIZES:
            plain, onnx = (seconds[way, size] * 1e6 for way in WAYS)
            print(f"{'call':14} {name:9} {size:3} rows: plain {plain:.1f} µs, onnx {onnx:.1f} µs, {plain / onnx:.1f}")
    with ExitStack() as stack:
        alone = {
            (name, way): stack.enter_context(replica(path, way)) for name, (path, _) in given.items() for way in WAYS
        }
        compare("replica alone", alone, {name: ("model", rows) for name, (_, rows) in given.items()}, options)
    manifests = []
    for name, (path, _) in given.items():
        for way in WAYS:
            manifests.append(root / f"{name}-{way}.yaml")
            more = ", accelerate: onnx" if way == "onnx" else ""
            manifests[-1].write_text(MANIFEST.format(name=f"{name}-{way}", uri=path.as_uri(), more=more))
    port = free_port()
    with tidegate(root / "home", port, manifests):
        for name, (_, rows) in given.items():
            for way in WAYS:
                asyncio.run(answering(port, requests(f"{name}-{way}", rows, 1)[0], 240))
        routed: dict[Contender, Replica] = {(name, way): (port, None) for name in given for way in WAYS}
        compare(
            "through Envoy", routed, {name: (f"{name}-{{way}}", rows) for name, (_, rows) in given.items()}, options
        )


if __name__ == "__main__":
    main()
