"""The replica's own server: one thread with one event loop, and on it the model of one version, or many models."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Container, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

import uvloop

from serving.about import Metrics
from serving.batching import Batcher
from serving.endpoints import Endpoints
from serving.errors import ServerStartError, ServerUnhealthy
from serving.http import Connection, TellingConnection
from serving.limits import Limits
from serving.many import Bounds, Counts, Fleet, InferencePaths, Members, Tally
from serving.protocol.tensors import make_reader
from serving.records import Origin, Profile, Recorder, RecordsConfig, Sender
from serving.runtimes import LoadedModel
from serving.site import Site
from serving.spec import InputSpec

BACKLOG = 1024
"""Connections that may wait to be accepted."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a server is told about itself.

    `port` 0 takes a free one. `max_batch` is the number of rows one model call may hold, `max_queue` the number of
    requests that may wait for the model, `max_rows` the number of rows of one request: beyond it the request is
    refused with 413. `max_body_bytes` bounds a request's body, `limits` the rest of a connection. `check_seconds` is
    how long the loop may take to answer a health check, `call_seconds` how long a model call may take before the
    server counts as hung. `quiet_seconds` without a request end a drain. `records` says where records of the answered
    requests go (None: nowhere); they name `namespace`, `model` and `version`. `metrics` is what
    the trainer said about the one model.
    """

    model: str
    version: str
    host: str = "127.0.0.1"
    port: int = 0
    max_batch: int = 64
    max_queue: int = 1024
    max_rows: int = 10_000
    max_body_bytes: int = 1 << 20
    limits: Limits = field(default_factory=Limits)
    check_seconds: float = 5.0
    call_seconds: float = 60.0
    quiet_seconds: float = 0.3
    namespace: str = "default"
    records: RecordsConfig | None = None
    metrics: Metrics | None = None

    def __post_init__(self) -> None:
        """Refuse a version that would break the header which carries it."""
        if not (self.version.isascii() and self.version.isprintable() and self.version):
            raise ValueError(f"the version {self.version!r} cannot stand in a header")


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Counts at one moment: requests in flight include the `queued` ones, which wait for the model.

    `recorded` is how many records the monitor has taken, `dropped` how many are lost; others still wait to be sent.
    """

    connections: int = 0
    in_flight: int = 0
    queued: int = 0
    requests: int = 0
    draining: bool = False
    recorded: int = 0
    dropped: int = 0


class Work(Protocol):
    """What the models have to do."""

    @property
    def waiting(self) -> int:
        """How many requests wait for a model."""

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` of when the oldest call began that is under way on another thread."""

    def close(self) -> None:
        """Let such threads go, after the calls that are under way."""


class ModelServer:
    """Answers requests for one model, or for those of a fleet, on a port of its own.

    Its methods may be called from any thread but its own.
    """

    def __init__(self, config: ServerConfig, model: LoadedModel | Fleet, profile: Profile | None = None) -> None:
        """`profile` is sent to the monitor before the first records."""
        self._config = config
        self._model = model
        self._profile = profile
        self._thread = threading.Thread(target=self._run, name="tidegate-server", daemon=True)
        self._bound: Future[int] = Future()
        self._sender: Sender | None = None
        self._work: Work
        self._tally: Tally | None = None

    def start(self) -> int:
        """Bind and serve on a thread of its own; returns the port. Raises `ServerStartError`."""
        self._thread.start()
        try:
            return self._bound.result()
        except OSError as error:
            where = f"{self._config.host}:{self._config.port}"
            raise ServerStartError(f"cannot listen on {where}: {error.strerror or error}") from error

    @property
    def port(self) -> int:
        """The port that is listened on, once `start` has returned."""
        return self._bound.result(timeout=0)

    def check(self) -> None:
        """Raise `ServerUnhealthy` when the server cannot answer any more: its replica must be replaced."""
        if not self._thread.is_alive():
            raise ServerUnhealthy("the server's thread is not running")
        pong = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop may be closed just now
            self._loop.call_soon_threadsafe(pong.set)
        if not pong.wait(self._config.check_seconds):
            raise ServerUnhealthy(f"the server's loop has not answered for {self._config.check_seconds:g} seconds")
        busy_since = self._work.busy_since
        if busy_since is not None and time.monotonic() - busy_since > self._config.call_seconds:
            raise ServerUnhealthy(f"a call of the model has taken over {self._config.call_seconds:g} seconds")

    def stats(self) -> ServerStats:
        """Counts of this moment; all 0 before the start."""
        if not self._bound.done():
            return ServerStats()
        site = self._site
        return ServerStats(
            connections=len(site.connections),
            in_flight=site.in_flight,
            queued=self._work.waiting,
            requests=site.requests,
            draining=site.draining,
            recorded=0 if self._sender is None else self._sender.sent,
            dropped=0 if self._sender is None else self._sender.dropped,
        )

    def members(self) -> list[tuple[str, Counts]]:
        """What was asked of each member so far; nothing where there is one model."""
        return [] if self._tally is None else self._tally.all()

    def drain(self, timeout: float) -> bool:
        """Stop being ready, and wait until every accepted request is answered; returns whether that came to be.

        From now on readiness is 503 and every answer closes its connection; requests are answered all the same, for
        some senders hear of the end late. The wait is over when nothing is in flight and no request has come for
        `quiet_seconds`, or after `timeout` seconds.
        """
        if not self._thread.is_alive():
            return False
        draining = self._drain(timeout)
        try:
            future = asyncio.run_coroutine_threadsafe(draining, self._loop)
            return future.result(timeout + self._config.check_seconds)
        except (RuntimeError, TimeoutError, CancelledError):  # the loop is closed, hung, or was stopped meanwhile
            draining.close()
            return False

    def stop(self) -> None:
        """Close everything at once; requests that are not answered are lost: `drain` first. May be called twice.

        Records that wait are still sent, within the time that their configuration leaves for it.
        """
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it may have ended just now
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(self._config.check_seconds)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._bound.done():
                raise
            self._bound.set_exception(error)
        finally:
            if self._sender is not None:
                self._sender.close()

    async def _serve(self) -> None:
        config = self._config
        self._loop = loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._site = site = (
            self._host_many(self._model) if isinstance(self._model, Fleet) else self._host_one(self._model)
        )
        try:
            connection = TellingConnection if _wants_headers(self._model) else Connection
            listener = await loop.create_server(lambda: connection(site), config.host, config.port, backlog=BACKLOG)
            async with listener:
                self._bound.set_result(listener.sockets[0].getsockname()[1])
                await self._sweep_until_stopped()
                site.close()
        finally:
            self._work.close()

    def _host_one(self, model: LoadedModel) -> Site:
        config, signature = self._config, model.signature
        self._work = batcher = Batcher(model, config.max_batch, config.max_queue, self._loop)
        endpoints = Endpoints(
            config.model,
            config.version,
            signature,
            batcher,
            reader=make_reader(signature, config.max_rows),
            draining=self._is_draining,
            metrics=config.metrics,
        )
        recorder = self._record(endpoints.inference_paths, signature.features)
        limits = config.max_body_bytes, config.limits
        return Site(config.version, *limits, endpoints.handle, self._loop, recorder=recorder)

    def _host_many(self, fleet: Fleet) -> Site:
        config = self._config
        self._tally = tally = Tally(self._record(InferencePaths(), fleet.catalogue.source.inputs))
        bounds = Bounds(config.max_batch, config.max_queue, config.max_rows)
        self._work = members = Members(
            config.version, fleet, bounds, self._loop, tally=tally, draining=self._is_draining
        )
        limits = config.max_body_bytes, config.limits
        return Site(config.version, *limits, members.handle, self._loop, recorder=tally)

    def _record(self, paths: Container[bytes], inputs: Sequence[InputSpec]) -> Recorder | None:
        """Begin to send what the recorder gets, if there is a monitor; its thread ends after the server's."""
        config, records = self._config, self._config.records
        if records is None:
            return None
        columns = tuple(each.name for each in inputs)
        recorder = Recorder(records, columns, paths, self._loop.call_later)
        origin = Origin(config.namespace, config.model, config.version, uuid4().hex)
        self._sender = Sender(records, origin, recorder, self._profile)
        self._sender.start()
        return recorder

    def _is_draining(self) -> bool:
        return self._site.draining

    async def _sweep_until_stopped(self) -> None:
        period = self._config.limits.shortest / 4
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._stopping.wait()
            self._site.sweep()

    async def _drain(self, seconds: float) -> bool:
        site = self._site
        site.draining = True
        deadline = self._loop.time() + seconds
        while site.busy() or self._loop.time() - site.last_request < self._config.quiet_seconds:
            if self._loop.time() >= deadline:
                return not site.busy()
            await asyncio.sleep(0.02)
        return True


def _wants_headers(model: LoadedModel | Fleet) -> bool:
    """Whether models may want to know the headers of their requests; of members that are not loaded, any class may."""
    if isinstance(model, Fleet):
        return model.catalogue.source.class_name is not None
    return not (model.signature.joint or model.signature.tabular)
