"""What records cost a replica: a server that keeps none against one that sends all of them to a real receiver.

Both serve the same iris model, each in a process of its own, without Envoy in front; requests have the headers that
Envoy adds. Rounds are interleaved, so that a noisy neighbour disturbs both. `python -m benchmarks.records`.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path

import psutil
import uvloop
from sklearn.datasets import load_iris

from benchmarks.client import Load, infer_body, post
from serving.records import RecordsConfig
from serving.runtimes import load
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec, ModelSource

MODEL = Path("deployments/examples/models/iris-1.joblib").absolute()
ID = b"0b9a8c1e-7d2f-4c55-9e1a-"
"""How every request's id begins."""
COLUMNS = tuple(InputSpec(f"{part}_{size}") for part in ("sepal", "petal") for size in ("length", "width"))


@dataclass(frozen=True, slots=True)
class Round:
    """One server's figures in one round; `cpu_us` are microseconds of its process for each request."""

    requests_per_second: float
    p99_ms: float
    cpu_us: float


class Receiver(BaseHTTPRequestHandler):
    """Takes batches and counts their records. It reads no JSON: what that costs, it does not cost the replica."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self) -> None:
        """Take one batch."""
        Receiver.taken += self.rfile.read(int(self.headers["content-length"])).count(ID)
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


def receive() -> None:
    """The receiver's process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    print(Receiver.taken, flush=True)


def serve(records: RecordsConfig | None) -> None:
    """A replica's process."""
    with tempfile.TemporaryDirectory() as cache:
        model = load(ModelSource(MODEL.as_uri(), "sklearn", inputs=COLUMNS), Path(cache))
    server = ModelServer(ServerConfig(model="iris", version="v1", records=records), model)
    print(server.start(), flush=True)
    sys.stdin.read()
    server.stop()
    stats = server.stats()
    print(stats.requests, stats.recorded, stats.dropped, flush=True)


class Process:
    """A part of this program in a process of its own, that prints its port and, at the end, its counts."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "benchmarks.records", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self._usage = psutil.Process(self._process.pid)

    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def end(self) -> list[int]:
        """End it, and return its counts."""
        output, _ = self._process.communicate(timeout=30)
        return [int(word) for word in output.split()]


def payloads() -> list[bytes]:
    """One request for each row of iris."""
    rows, _ = load_iris(return_X_y=True)
    return [
        post(
            "/v2/models/iris/infer",
            infer_body([row]),
            {
                "x-forwarded-proto": "http",
                "x-envoy-expected-rq-timeout-ms": "30000",
                "x-request-id": f"{ID.decode()}{number:012x}",
                "tidegate-share": "9000",
                "tidegate-key": f"user-{number}",
            },
        )
        for number, row in enumerate(rows)
    ]


async def measure(process: Process, requests: Sequence[bytes], seconds: float, connections: int) -> Round:
    """A closed loop for so many seconds."""
    load = Load(process.port, cycle(requests))
    asyncio.get_running_loop().call_later(seconds, setattr, load, "ended", True)
    wall, cpu = time.perf_counter(), process.cpu_seconds()
    await load.run(connections)
    wall, cpu = time.perf_counter() - wall, process.cpu_seconds() - cpu
    if load.tally.failed:
        raise SystemExit(f"{load.tally.failed} requests failed: {load.tally.failures[:3]}")
    count = load.tally.answered
    return Round(count / wall, load.tally.percentile(0.99) * 1e3, cpu / count * 1e6)


def compare(off: Sequence[Round], on: Sequence[Round], name: str) -> str:
    """One figure: of each server the median (least to most), and the ratios of the rounds as median and quartiles."""
    theirs, ours = ([float(getattr(figures, name)) for figures in group] for group in (off, on))
    low, middle, high = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4)
    columns = (
        f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})" for values in (theirs, ours)
    )
    return f"{name:20}" + "".join(f"{column:35}" for column in columns) + f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Take the part that is asked for; without one, start the others and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--sample", type=float, default=100.0, help="percent of the records with inputs and outputs")
    parser.add_argument("--part", choices=["receive", "off", "on"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "receive":
        receive()
    elif options.part is not None:
        serve(RecordsConfig(options.url, sample=round(options.sample * 100)) if options.url else None)
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Run the rounds and print the table."""
    receiver = Process("--part", "receive")
    off = Process("--part", "off")
    on = Process("--part", "on", "--sample", str(options.sample), "--url", f"http://127.0.0.1:{receiver.port}")
    rounds: dict[Process, list[Round]] = {off: [], on: []}
    requests = payloads()
    for number in range(options.rounds + 1):
        for process in (off, on) if number % 2 else (on, off):
            figures = uvloop.run(measure(process, requests, options.seconds, options.connections))
            if number:  # the first round is a warm-up
                rounds[process].append(figures)
    off.end()
    answered, recorded, dropped = on.end()
    (received,) = receiver.end()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.connections} connections, {options.rounds} rounds")
    print(f"{'':20}{'records off':35}{'records on':35}on / off")
    for name in Round.__dataclass_fields__:
        print(compare(rounds[off], rounds[on], name))
    print(f"{answered:,} requests answered, {recorded:,} records sent ({received:,} received), {dropped:,} dropped")


if __name__ == "__main__":
    main()
