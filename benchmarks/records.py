"""What records cost a replica: servers that send all of them to a real receiver against one that keeps none.

One keeps values as it does by default, one those of every request. All serve the same model, each in a process of its
own, without Envoy in front; requests have one row and the headers that Envoy adds. The model `fast` adds up the row in
microseconds, so that a record costs as large a part as it can; `iris` is the example. Rounds are interleaved, so that a
noisy neighbour disturbs all. `python -m benchmarks.records`.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
import uvloop
from sklearn.datasets import load_iris

from benchmarks.client import Load, infer_body, post
from serving.artifacts import digest
from serving.records import RecordsConfig
from serving.records.config import ALL
from serving.runtimes import LoadedModel, OutputSpec, Signature, load
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec, ModelSource

MODEL = Path("deployments/examples/models/iris-1.joblib").absolute()
KEPT: dict[str, int | None] = {"default": None, "all": ALL}
"""Of how many requests the servers keep values: their setting `sample`."""
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


class Fast:
    """A model that costs next to nothing."""

    signature = Signature("sum", len(COLUMNS), COLUMNS, InputSpec("input"), (OutputSpec("predict", "FP64", (-1,)),))

    def predict(self, rows: np.ndarray, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """Add up each row."""
        return {name: rows.sum(axis=1) for name in outputs}


def model_named(name: str) -> LoadedModel:
    """One of the two."""
    if name == "fast":
        return Fast()
    with tempfile.TemporaryDirectory() as cache:
        return load(ModelSource(MODEL.as_uri(), "sklearn", digest(MODEL), COLUMNS), Path(cache))


def serve(model: LoadedModel, records: RecordsConfig | None) -> None:
    """A replica's process."""
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
    """One figure: of each server median and lower quartile, their ratios, and the ratios of the rounds as quartiles."""
    theirs, ours = ([float(getattr(figures, name)) for figures in group] for group in (off, on))
    (low, middle), (our_low, our_middle) = (statistics.quantiles(values, n=4)[:2] for values in (theirs, ours))
    rounds = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4)
    columns = (f"{middle:,.1f} (p25 {low:,.1f})", f"{our_middle:,.1f} (p25 {our_low:,.1f})")
    ratios = f"{our_middle / middle:.3f} (p25 {our_low / low:.3f})"
    return (
        f"{name:24}" + "".join(f"{column:27}" for column in (*columns, ratios)) + " ".join(f"{r:.3f}" for r in rounds)
    )


def main() -> None:
    """Take the part that is asked for; without one, start the others and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["fast", "iris"], help="only this one")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--part", choices=["receive", "off", *KEPT], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "receive":
        receive()
    elif options.part is not None:
        records = None if options.part == "off" else RecordsConfig(options.url, sample=KEPT[options.part])
        serve(model_named(options.model), records)
    else:
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, {options.connections} connections, {options.rounds} rounds"
        )
        for model in (options.model,) if options.model else ("fast", "iris"):
            run(model, options)


def run(model: str, options: argparse.Namespace) -> None:
    """Run the rounds with one model and print its table."""
    receiver = Process("--part", "receive")
    url = f"http://127.0.0.1:{receiver.port}"
    servers = {kept: Process("--part", kept, "--model", model, "--url", url) for kept in ("off", *KEPT)}
    rounds: dict[str, list[Round]] = {kept: [] for kept in servers}
    requests = payloads()
    order = list(servers)
    for number in range(options.rounds + 2):
        order = order[1:] + order[:1]
        for kept in order:
            figures = uvloop.run(measure(servers[kept], requests, options.seconds, options.connections))
            if number > 1:  # the first rounds are a warm-up
                rounds[kept].append(figures)
    counts = {kept: process.end() for kept, process in servers.items()}
    (received,) = receiver.end()
    for kept in KEPT:
        title = f"{model}, values: {kept}"
        print(f"\n{title:24}{'records off':27}{'records on':27}{'on / off':27}quartiles of the rounds' ratios")
        for name in Round.__dataclass_fields__:
            print(compare(rounds["off"], rounds[kept], name))
        answered, recorded, dropped = counts[kept]
        print(f"{answered:,} requests answered, {recorded:,} records sent, {dropped:,} dropped")
    print(f"{received:,} records received")


if __name__ == "__main__":
    main()
