"""One replica on Ray Serve. Ray starts, watches and replaces it; requests go to the server on a port of its own."""

import asyncio
import os
import tempfile
from pathlib import Path

import ray
from ray import serve
from ray.util.metrics import Counter
from starlette.requests import Request

from serving.about import read_metrics
from serving.autoscaling import IN_FLIGHT
from serving.details import Json
from serving.discovery import ServerAnswer
from serving.errors import ModelLoadError, ServerStartError
from serving.many import Budget, Fleet, open_catalogue
from serving.many.gauges import COUNTERS, Reporter
from serving.reason import mark
from serving.records import RecordsConfig, read_profile
from serving.render import ARTIFACTS_VARIABLE, target_of
from serving.runtimes import LoadedModel, load
from serving.server import ModelServer, ServerConfig
from serving.spec import ServeTarget


def _load(target: ServeTarget, cache: Path) -> LoadedModel | Fleet:
    """What the version is: one model, or many. Raises `ModelLoadError`."""
    if not target.members_bytes:
        return load(target.source, cache, target.key.name)
    catalogue = open_catalogue(target.source, cache, target.key.name)
    return Fleet(catalogue, Budget(target.members_bytes, target.members_loaded))


def _report(server: ModelServer, target: ServeTarget) -> Reporter:
    """Begin to tell Ray's metrics what members are asked."""
    tags = {"namespace": target.key.namespace, "model": target.key.name, "version": target.key.version}
    keys = (*tags, "member")
    counters = {name: Counter(f"tidegate_member_{name}", text, keys) for name, text in COUNTERS.items()}
    reporter = Reporter(server.members, counters, tags)
    reporter.start()
    return reporter


class ReplicaCannotStart(Exception):
    """The version cannot be served. The text is marked, for Ray passes it on inside a traceback."""


class Replica:
    """The deployment's class: Ray Serve makes one in each replica's process, and calls its other methods."""

    def __init__(self, arguments: Json) -> None:
        """Load the model and serve it; Ray lists the replica only after this has returned."""
        target = target_of(arguments)
        cache = Path(os.environ.get(ARTIFACTS_VARIABLE) or Path(tempfile.gettempdir(), "tidegate-artifacts"))
        self._drain_seconds = target.drain_seconds
        self._version = target.key.version
        try:
            config = ServerConfig(
                model=target.key.name,
                version=target.key.version,
                # The address that Ray Serve lists for this replica.
                host=ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]
                max_batch=target.max_batch,
                max_queue=target.max_queue,
                max_body_bytes=target.max_body_bytes,
                namespace=target.key.namespace,
                records=RecordsConfig.from_environment(os.environ),
                metrics=read_metrics(target.source),
            )
            model = _load(target, cache)
            server = ModelServer(config, model, read_profile(target.source) if config.records else None)
            self._port = server.start()
            self._acceleration = None if isinstance(model, Fleet) else model.signature.acceleration
        except (ModelLoadError, ServerStartError) as error:
            raise ReplicaCannotStart(mark(str(error))) from error
        self._server = server
        self._reporter = _report(server, target) if isinstance(model, Fleet) else None

    async def __call__(self, request: Request) -> Json:  # noqa: ARG002 - Ray Serve passes the request
        """Answer the control plane's question: where is the server?"""
        return ServerAnswer(
            port=self._port,
            pid=os.getpid(),
            replica=serve.get_replica_context().replica_id.to_full_id_str(),
            version=self._version,
            acceleration=self._acceleration,
        ).model_dump()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Ray Serve, which no request passes, what `serving.autoscaling.policy` decides by."""
        return {IN_FLIGHT: float(self._server.stats().in_flight)}

    async def check_health(self) -> None:
        """Raise when the server cannot answer; after the third time in a row Ray Serve replaces the replica."""
        await asyncio.to_thread(self._server.check)

    async def __del__(self) -> None:
        """Finish what has been accepted. Ray Serve has taken the replica off its list long before it awaits this."""
        if hasattr(self, "_server"):  # else the constructor has raised
            await asyncio.to_thread(self._server.drain, self._drain_seconds)
            await asyncio.to_thread(self._server.stop)
            if self._reporter is not None:
                await asyncio.to_thread(self._reporter.close)
