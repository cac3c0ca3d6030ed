"""One replica on Ray Serve. Ray starts, watches and replaces it; requests go to the server on a port of its own."""

import asyncio
import os
import tempfile
from pathlib import Path

import ray
from ray import serve
from starlette.requests import Request

from serving.details import Json
from serving.discovery import ServerAnswer
from serving.errors import ModelLoadError, ServerStartError
from serving.reason import mark
from serving.records import RecordsConfig, read_profile
from serving.render import ARTIFACTS_VARIABLE, target_of
from serving.runtimes import load
from serving.server import ModelServer, ServerConfig


class ReplicaCannotStart(Exception):
    """The version cannot be served. The text is marked, for Ray passes it on inside a traceback."""


class Replica:
    """The deployment's class: Ray Serve makes one in each replica's process, and calls `check_health` and `__del__`."""

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
            )
            model = load(target.source, cache)
            server = ModelServer(config, model, read_profile(target.source) if config.records else None)
            self._port = server.start()
        except (ModelLoadError, ServerStartError) as error:
            raise ReplicaCannotStart(mark(str(error))) from error
        self._server = server

    async def __call__(self, request: Request) -> Json:  # noqa: ARG002 - Ray Serve passes the request
        """Answer the control plane's question: where is the server?"""
        replica = serve.get_replica_context().replica_id.to_full_id_str()
        return ServerAnswer(port=self._port, pid=os.getpid(), replica=replica, version=self._version).model_dump()

    async def check_health(self) -> None:
        """Raise when the server cannot answer; after the third time in a row Ray Serve replaces the replica."""
        await asyncio.to_thread(self._server.check)

    async def __del__(self) -> None:
        """Finish what has been accepted. Ray Serve has taken the replica off its list long before it awaits this."""
        if hasattr(self, "_server"):  # else the constructor has raised
            await asyncio.to_thread(self._server.drain, self._drain_seconds)
            await asyncio.to_thread(self._server.stop)
