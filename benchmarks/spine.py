"""Tidegate through Envoy against Ray Serve's own HTTP proxy: same machine, same run, same model file, same client.

Rounds alternate, so that a noisy neighbour disturbs both. Every answer is checked. `make bench-spine`.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import uvloop
from sklearn.datasets import load_iris

from benchmarks.client import Answer, Load, answering, cycle_rows, infer_body, post

MODEL = Path("deployments/examples/models/iris-1.joblib").absolute()
MANIFEST = """
apiVersion: tidegate.dev/v1alpha1
kind: ModelRollout
metadata: {{name: iris}}
spec:
  model: {{uri: "file://{model}", runtime: sklearn}}
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One contender's figures in one round; latencies in milliseconds, `client_cpu` as a share of one core."""

    contender: str
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    client_cpu: float


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ray_proxy(port: int) -> Iterator[None]:
    """Ray Serve with its defaults, in a cluster of its own."""
    command = [sys.executable, "-m", "benchmarks.ray_proxy", str(MODEL), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != b"ready":
            raise SystemExit("Ray Serve did not start; run `python -m benchmarks.ray_proxy` by hand to see why")
        yield
        process.stdin.close()


@contextmanager
def tidegate(port: int) -> Iterator[None]:
    """Tidegate as `tidegate up` starts it, with one replica."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        manifest = Path(folder, "iris.yaml")
        manifest.write_text(MANIFEST.format(model=MODEL))
        home = Path(folder, "home")
        environment = os.environ | {"TIDEGATE_HOME": str(home)}
        program = Path(sys.executable).with_name("tidegate")
        subprocess.run([program, "apply", "-f", manifest], env=environment, check=True, capture_output=True)
        with subprocess.Popen([program, "up", "--port", str(port)], env=environment) as process:
            asyncio.run(answering(port, post("/v2/models/iris/infer", infer_body([[5.1, 3.5, 1.4, 0.2]])), 120))
            yield
            process.terminate()


async def measure(contender: str, port: int, seconds: float, connections: int) -> Round:
    """Closed loop for so many seconds; raises when any answer is not the model's own prediction."""
    rows, _ = load_iris(return_X_y=True)
    expected = [int(label) for label in joblib.load(MODEL).predict(rows)]

    def check(answer: Answer) -> None:
        if answer.status != 200:
            raise SystemExit(f"{contender} answered {answer.status}: {answer.body[:300]!r}")
        if json.loads(answer.body)["outputs"][0]["data"] != [expected[answer.index % len(expected)]]:
            raise SystemExit(f"{contender} answered request {answer.index} wrongly: {answer.body[:300]!r}")

    checking = Load(port, cycle_rows("/v2/models/iris/infer", rows), each=check)
    asyncio.get_running_loop().call_later(min(1.0, seconds), setattr, checking, "ended", True)
    await checking.run(connections)  # a warm-up in which every answer is compared
    load = Load(port, cycle_rows("/v2/models/iris/infer", rows))
    asyncio.get_running_loop().call_later(seconds, setattr, load, "ended", True)
    wall, cpu = time.perf_counter(), time.process_time()
    await load.run(connections)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if load.tally.failed:
        raise SystemExit(f"{contender} failed {load.tally.failed} requests: {load.tally.failures[:3]}")
    tally = load.tally
    return Round(
        contender, tally.answered / wall, tally.percentile(0.5) * 1e3, tally.percentile(0.99) * 1e3, cpu / wall
    )


def main() -> None:
    """Run the rounds, print the table and keep the raw figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, help="keep the raw figures here")
    options = parser.parse_args()
    rounds: list[Round] = []
    with ExitStack() as stack:
        ports = {"ray serve proxy": free_port()}
        stack.enter_context(ray_proxy(ports["ray serve proxy"]))
        ports["tidegate"] = free_port()  # not before, or one of Ray's processes may have taken it
        stack.enter_context(tidegate(ports["tidegate"]))
        for _ in range(options.rounds):
            for contender, port in ports.items():
                figures = uvloop.run(measure(contender, port, options.seconds, options.connections))
                rounds.append(figures)
                print(figures, flush=True)
    by_name = {name: [figures for figures in rounds if figures.contender == name] for name in ports}
    print(f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {options.connections} connections")
    for name, group in by_name.items():
        speeds = [figures.requests_per_second for figures in group]
        p99 = statistics.median(figures.p99_ms for figures in group)
        spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
        print(f"{name:16} {statistics.median(speeds):8.0f} requests/s ({spread}), p99 {p99:.1f} ms")
    pairs = zip(by_name["tidegate"], by_name["ray serve proxy"], strict=True)
    ratios = [ours.requests_per_second / theirs.requests_per_second for ours, theirs in pairs]
    print(f"ratio            {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    if options.json:
        options.json.write_text(json.dumps([asdict(figures) for figures in rounds], indent=1))


if __name__ == "__main__":
    main()
