"""Three hundred models in two replicas against one model in two replicas: same machine, same Envoy, same run.

A fleet and a single model run side by side under `tidegate up`; rounds alternate, so that a noisy neighbour disturbs
both. Every model of the fleet is asked once, which loads it; then a storm loads them all in both replicas, so that what
is measured is warm. Besides: which model is loaded where, what the replicas' memory grew by, what first requests cost,
and requests with room for a tenth of the fleet. `python -m benchmarks.manymodels`.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from urllib.request import urlopen

import joblib
import psutil
import uvloop
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.client import Load, Tally, answering, burst, infer_body, post
from benchmarks.spine import free_port
from router import lastgood
from router.ir import Endpoint

MEMBERS = 300
ROW = [[5.1, 3.5, 1.4, 0.2]]
MANIFEST = """
apiVersion: tidegate.dev/v1alpha1
kind: ModelRollout
metadata: {{name: {name}}}
spec:
  model: {{uri: "file://{uri}", runtime: sklearn}}
  serving: {{replicas: 2, resources: {{cpu: 50m}}{more}}}
"""


def train(folder: Path, count: int) -> list[str]:
    """So many small models, each of its own part of the data; their names."""
    rows, labels = load_iris(return_X_y=True)
    names = [f"m{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        kept = [place for place in range(len(rows)) if place % 7 != number % 7]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=1 + number))
        joblib.dump(model.fit(rows[kept], labels[kept]), folder / f"{name}.joblib")
    return names


def request(model: str) -> bytes:
    """One row for this model."""
    return post(f"/v2/models/{model}/infer", infer_body(ROW))


@contextmanager
def tidegate(home: Path, port: int, manifests: Sequence[Path]) -> Iterator[None]:
    """Tidegate as `tidegate up` starts it."""
    program = Path(sys.executable).with_name("tidegate")
    with (
        (home.parent / "up.log").open("wb") as log,
        subprocess.Popen(
            [program, "up", *manifests, "--port", str(port)],
            env=os.environ | {"TIDEGATE_HOME": str(home)},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def endpoints(home: Path, name: str) -> tuple[Endpoint, ...]:
    """Where the replicas of a rollout listen, as its router has it."""
    (found,) = home.glob("**/last-good.json")
    routes = lastgood.load(found)
    assert routes is not None
    return next(route for route in routes[0] if route.key.name == name).backends[0].endpoints


def report(replica: Endpoint, name: str) -> dict[str, object]:
    """What a replica says of its members."""
    url = f"http://{replica.host}:{replica.port}/v2/models/{name}/members"
    with urlopen(url, timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def loaded(replica: Endpoint, name: str) -> set[str]:
    """The members that a replica has in memory."""
    members = report(replica, name)["members"]
    assert isinstance(members, list)
    return {each["name"] for each in members if each["state"] == "loaded"}


def resident(replica: Endpoint) -> int:
    """The bytes in memory of the process that listens there."""
    for connection in psutil.net_connections("tcp"):
        here = connection.laddr and connection.laddr.port == replica.port
        if here and connection.status == psutil.CONN_LISTEN and connection.pid:
            return int(psutil.Process(connection.pid).memory_info().rss)
    raise SystemExit(f"nobody listens on {replica}")


async def measure(port: int, requests: Sequence[bytes], seconds: float, connections: int, pace: float) -> Tally:
    """So many seconds of connections that pause after each answer. Raises unless every answer is good."""
    load = Load(port, cycle(requests), pace)
    asyncio.get_running_loop().call_later(seconds, setattr, load, "ended", True)
    await load.run(connections)
    if load.tally.failed:
        raise SystemExit(f"{load.tally.failed} requests failed: {load.tally.failures[:3]}")
    return load.tally


def wait_for_two(home: Path, names: Sequence[str]) -> None:
    """Return once both replicas of all these rollouts are known to the router."""
    deadline = time.monotonic() + 240
    while any(len(endpoints(home, name)) < 2 for name in names):
        if time.monotonic() > deadline:
            raise SystemExit("the replicas did not start; see up.log")
        time.sleep(0.5)


def compare(port: int, requests: Mapping[str, Sequence[bytes]], options: argparse.Namespace) -> None:
    """Run the rounds, and print both contenders' latencies: of all rounds together, and the ratios of the rounds."""
    rounds: dict[str, list[Tally]] = {name: [] for name in requests}
    order = list(requests)
    for number in range(options.rounds + 1):
        order.reverse()
        for name in order:
            tally = uvloop.run(measure(port, requests[name], options.seconds, options.connections, options.pace))
            if number:  # the first is a warm-up
                rounds[name].append(tally)
    whole = {name: Tally(seconds=[each for tally in group for each in tally.seconds]) for name, group in rounds.items()}
    one, many = requests
    for share in (0.5, 0.9, 0.99):
        ratios = statistics.quantiles(
            [b.percentile(share) / a.percentile(share) for a, b in zip(rounds[one], rounds[many], strict=True)], n=4
        )
        figures = {name: tally.percentile(share) * 1e3 for name, tally in whole.items()}
        print(
            f"p{share * 100:g}: "
            + ", ".join(f"{name} {figure:.2f} ms" for name, figure in figures.items())
            + f", ratio {figures[many] / figures[one]:.2f}; of rounds, quartiles "
            + " ".join(f"{ratio:.2f}" for ratio in ratios)
        )
    print("; ".join(f"{name}: {len(tally.seconds):,} requests" for name, tally in whole.items()))


def main() -> None:
    """Start everything, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--pace", type=float, default=0.005, help="seconds that a connection waits after each answer")
    options = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, {options.connections} connections, pauses of {options.pace * 1e3:g} ms, {MEMBERS} models")
    with tempfile.TemporaryDirectory(prefix="tg-") as root:
        run(Path(root), options)


def run(root: Path, options: argparse.Namespace) -> None:
    """All measurements, in a folder of their own."""
    models, home, port = root / "models", root / "home", free_port()
    models.mkdir()
    names = train(models, MEMBERS)
    uris = {
        "one": (models / "m000.joblib", ""),
        "many": (models, ", multiModel: {memory: 512Mi}"),
        "tight": (models, f", multiModel: {{maxLoaded: {MEMBERS // 10}}}"),
    }
    manifests = []
    for name, (uri, more) in uris.items():
        manifests.append(root / f"{name}.yaml")
        manifests[-1].write_text(MANIFEST.format(name=name, uri=uri, more=more))
    with tidegate(home, port, manifests):
        for model in ("one", "many.m000", "tight.m000"):
            asyncio.run(answering(port, request(model), 240))
        wait_for_two(home, [*uris])
        replicas = endpoints(home, "many")
        before = [resident(replica) for replica in replicas]
        cold, _ = asyncio.run(burst(port, [request(f"many.{name}") for name in names], connections=1))
        if cold.failed:
            raise SystemExit(f"{cold.failed} of the first requests failed: {cold.failures[:3]}")
        grown = [resident(replica) - former for replica, former in zip(replicas, before, strict=True)]
        where = Counter(name for replica in replicas for name in loaded(replica, "many"))
        print(
            f"first requests: p50 {cold.percentile(0.5) * 1e3:.1f} ms, p99 {cold.percentile(0.99) * 1e3:.1f} ms; "
            f"{len(where)} models loaded, {sum(count > 1 for count in where.values())} of them twice; "
            f"replicas have {[len(loaded(replica, 'many')) for replica in replicas]}, grew by "
            f"{[f'{each / 2**20:.1f} MiB' for each in grown]}, and say "
            f"{[report(replica, 'many')['bytes'] for replica in replicas]} bytes"
        )
        requests = {"one": [request("one")], "many": [request(f"many.{name}") for name in names]}
        # Under load models spread. What is measured is warm wherever it goes: a storm loads them all in both replicas.
        uvloop.run(measure(port, requests["many"], 6.0, 12, 0.0))
        compare(port, requests, options)
        where = Counter(name for replica in replicas for name in loaded(replica, "many"))
        print(f"then {sum(count > 1 for count in where.values())} models were loaded in both replicas")
        began = time.perf_counter()
        tally = uvloop.run(measure(port, [request(f"tight.{name}") for name in names], options.seconds, 4, 0.0))
        speed = tally.answered / (time.perf_counter() - began)
        rooms = [len(loaded(replica, "tight")) for replica in endpoints(home, "tight")]
        print(
            f"with room for {MEMBERS // 10} models in each replica, asked round and round, so that each is loaded: "
            f"{speed:.0f} requests/s, p50 {tally.percentile(0.5) * 1e3:.1f} ms, p99 {tally.percentile(0.99) * 1e3:.1f} "
            f"ms; loaded at the end: {rooms}"
        )


if __name__ == "__main__":
    main()
