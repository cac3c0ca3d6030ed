"""What operator, router and monitor export, with every metric in use: names of series, and their labels."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from monitorkit import Sender, api, record, running
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from promql import grouped, named, selected

from monitor.analyst.figures import ColumnFigures, FeedbackFigures, Pair, PairFigures, Version, WindowFigures
from monitor.analyst.gauges import Metrics as AnalystMetrics
from monitor.outbound.metrics import Metrics as OutboundMetrics
from monitor.store.metrics import Metrics
from operators.api import API_VERSION, KIND, parse_manifest
from operators.kube.metrics import Metrics as OperatorMetrics
from operators.plan import Plan
from operators.status import Candidate, CheckResult, Phase, Revision, RolloutStatus, Verdict
from router.config import ListenConfig, RouterPaths
from router.ir import BackendKey, RouteKey, TrafficCounters
from router.pod.metrics import metrics_text
from router.pod.traffic import Reading
from router.service import Router
from router.snapshot import ResourceType

TARGET = frozenset({"pod", "container", "job", "instance"})
"""Labels that Prometheus gives to all series of a pod."""


class Answered(Router):
    """A router that an Envoy has confirmed something to."""

    def answers(self) -> Mapping[tuple[ResourceType, bool], int]:
        return {(ResourceType.CLUSTER, True): 1}


async def exported(folder: Path) -> Mapping[str, frozenset[str]]:
    """The labels of every series by its name."""
    texts = [await monitor(f"sqlite:///{folder}/records.db"), operator(), router(folder)]
    return {name: labels | TARGET for text in texts for name, labels in series(text).items()} | {"up": TARGET}


def series(text: str) -> dict[str, frozenset[str]]:
    """The labels of the series in the text format, by their names."""
    found: dict[str, frozenset[str]] = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(f"{family.name}{'_total' if family.type == 'counter' else ''}", frozenset())
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, frozenset()) | set(sample.labels)
    return found


async def monitor(url: str) -> str:
    """Of a monitor that has stored a user's request and a copy."""
    metrics = Metrics()
    outbound = OutboundMetrics(metrics.registry)
    for counter in (outbound.sent, outbound.failed, outbound.given_up):
        counter.labels("team")
    figures = AnalystMetrics(metrics.registry).figures
    version = Version("default", "iris", "v1")
    columns = (ColumnFigures("x", 0.1, alarmed=False, missing=0.0, quantiles={0.5: 1.0}),)
    figures.windows.put(version, WindowFigures(1, columns, columns, 0))
    figures.feedback.put(version, FeedbackFigures(1, 1.0, 0.0, 1.0, {0.5: 60.0}))
    figures.pairs.put(Pair("default", "iris", "v2", "v1"), PairFigures(1, 1))
    async with running(url, metrics) as store, api(store, metrics) as client:
        await store.store(Sender().send(record("a"), record("b", mirrored=True)))
        return (await client.get("/metrics")).text


def operator() -> str:
    """Of an operator in the midst of a rollout."""
    metrics = OperatorMetrics(lambda: True)
    check = CheckResult("errors", Verdict.PASS, 0.0, 0.01, 0.0, 0.005, 100, "fine")
    stable, candidate = (Revision(name, "{}", "{}") for name in ("v1", "v2"))
    status = RolloutStatus(
        phase=Phase.PROGRESSING,
        stable=stable,
        candidate=Candidate(candidate, 0.0),
        step=1,
        step_started_at=0.0,
        checks=(check,),
    )
    model = {"uri": "file:///m", "runtime": "sklearn"}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "iris"}, "spec": {"model": model}}
    metrics.decided(parse_manifest(manifest), Plan(targets=(), route=None, status=status), 0.001)
    return generate_latest(metrics.registry).decode()


def router(folder: Path) -> str:
    """Of a router whose Envoy has counted."""
    counters = {
        BackendKey(RouteKey("default", "iris"), "v1", mirrored): TrafficCounters(1, 0, (10.0,), (1, 0))
        for mirrored in (False, True)
    }
    answered = Answered(RouterPaths(folder), ListenConfig("127.0.0.1", 8080))
    return metrics_text(answered, Reading("now", counters)).decode()


def unknown(expressions: Iterable[str], known: Mapping[str, frozenset[str]]) -> list[str]:
    """What expressions name that nobody exports, as sentences."""

    found = []
    for expression in expressions:
        names = named(expression)
        found += [f"no {name}: {expression}" for name in names - known.keys()]
        for name, labels in selected(expression):
            found += [f"{name} has no {label}: {expression}" for label in labels - known.get(name, labels)]
        every = frozenset[str]().union(*(known.get(name, frozenset()) for name in names))
        found += [f"none has {label}: {expression}" for label in grouped(expression) - every]
    return found
