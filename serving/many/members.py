"""Requests for the members of one rollout, to the model that each names: as `ROLLOUT.MEMBER` in the path, or in a call.

A loaded member is served as a single model is, by endpoints and a batcher of its own; members share the threads of slow
calls. A request for one that is not loaded waits until it is, and holds nobody else up.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import unquote

import orjson

from serving.batching import Batcher, Worker
from serving.endpoints import Endpoints
from serving.errors import ModelLoadError, QueueFull, RequestError
from serving.exchange import Exchange
from serving.limits import internal_error
from serving.many.catalogue import Fleet
from serving.many.front import Front
from serving.many.loading import LOAD_SECONDS, Loaded, Loader
from serving.many.shelf import Shelf
from serving.many.tally import Tally
from serving.protocol.tensors import make_reader
from serving.protocol.v2_grpc import named_model
from serving.protocol.v2_grpc_frames import SERVICE_PATH

THREADS: Final = 4
"""So many slow calls of different members go on at once."""
AGAIN_SECONDS: Final = 30.0
"""How long a member that could not be loaded answers why, until the next request has it tried again."""
MEMBERS: Final = "/members"
"""What follows the rollout's path, of the list of its members."""

log = logging.getLogger(__name__)


class InferencePaths:
    """Where models are asked, whichever they are: all paths that end as theirs do."""

    _ends = re.compile(rb"(?:/infer|:predict|/predict|/ModelInfer)/?(?:\?|$)")

    def __contains__(self, url: object) -> bool:
        """Whether a model is asked there."""
        return isinstance(url, bytes) and self._ends.search(url) is not None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a member could not be loaded, and when (on the loop's clock) that may be tried again."""

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Resident:
    """A member in memory."""

    name: str
    endpoints: Endpoints
    batcher: Batcher


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of each member's requests, as `ServerConfig` has them; `max_queue` also bounds who waits for loads."""

    max_batch: int
    max_queue: int
    max_rows: int


class Members:
    """Finds the model of a request, and sees to it that it is loaded. Belongs to the loop's thread."""

    def __init__(
        self,
        version: str,
        fleet: Fleet,
        bounds: Bounds,
        loop: asyncio.AbstractEventLoop,
        *,
        tally: Tally,
        draining: Callable[[], bool],
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        self._name = name = fleet.catalogue.rollout
        self._version = version
        self._fleet = fleet
        self._bounds = bounds
        self._loop = loop
        self._tally = tally
        self._draining = draining
        self._path = re.compile(rf"/(?:v2|v1|api/v1)/models/{re.escape(name)}\.([^/:]+)")
        self._worker = Worker(loop, THREADS)
        self._shelf = Shelf(fleet.budget)
        self._loader = Loader(loop, fleet.catalogue.load, self._make_room, self._finish, load_seconds)
        self._residents: dict[str, Resident] = {}
        self._by_url: dict[bytes, Resident] = {}
        """Where loaded members are asked over REST: what is found here is not looked at again."""
        self._waiting: dict[str, list[Exchange]] = {}
        """Who waits for which member."""
        self._failures: dict[str, Failure] = {}
        self._front = Front(name, version, loop, self._worker, draining)

    @property
    def waiting(self) -> int:
        """How many requests wait for a model, or for one to be loaded. May be read from any thread."""
        return self._unloaded + sum(resident.batcher.waiting for resident in [*self._residents.values()])

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` of when the oldest slow call that is under way began. May be read from any thread."""
        return self._worker.busy_since

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now, when the model has, or when there is one. Raises `RequestError`."""
        resident = self._by_url.get(exchange.url)
        if resident is None:
            name = self._named(exchange)
            if name is None:
                self._answer_for_all(exchange)
                return
            resident = self._residents.get(name)
            if resident is None:
                self._wait(name, exchange)
                return
        name = resident.name
        self._shelf.touch(name)
        exchange.member = name
        resident.endpoints.handle(exchange)

    def close(self) -> None:
        """Let the threads go, after the calls that are under way."""
        self._worker.close()

    @property
    def _unloaded(self) -> int:
        return sum(map(len, [*self._waiting.values()]))

    def _named(self, exchange: Exchange) -> str | None:
        """The member that a request is for; None if it is for none. Raises `RequestError`."""
        if exchange.url.startswith(SERVICE_PATH):
            model = named_model(exchange.url, exchange.body)
            return model.removeprefix(f"{self._name}.") if model.startswith(f"{self._name}.") else None
        found = self._path.match(unquote(exchange.url.partition(b"?")[0].decode("latin-1")))
        return None if found is None else found[1]

    def _answer_for_all(self, exchange: Exchange) -> None:
        if exchange.url.partition(b"?")[0] == f"/v2/models/{self._name}{MEMBERS}".encode() and exchange.method in (
            b"GET",
            b"HEAD",
        ):
            exchange.answer(200, orjson.dumps(self.report()))
            return
        self._front.handle(exchange)

    # members that are not loaded

    def _wait(self, name: str, exchange: Exchange) -> None:
        """Have a member loaded, and the exchange answered then. Raises `RequestError`."""
        catalogue = self._fleet.catalogue
        if name not in catalogue.members:
            near = catalogue.nearest(name)
            hint = f"; the nearest name is {self._name}.{near}" if near else ""
            raise RequestError(404, "unknown_model", f"there is no model {name[:128]!r} in {self._name}{hint}")
        exchange.member = name
        failure = self._failures.get(name)
        if failure is not None and self._loop.time() < failure.until:
            raise self._unloadable(name, failure.reason)
        if (already := self._unloaded) >= self._bounds.max_queue:
            raise QueueFull(already)
        waiting = self._waiting.get(name)
        exchange.cancel = lambda: self._forget(name, exchange)
        if waiting is not None:
            waiting.append(exchange)
            return
        self._waiting[name] = [exchange]
        self._loader.ask(name)

    def _forget(self, name: str, exchange: Exchange) -> None:
        """A client has gone before its member was loaded."""
        waiting = self._waiting.get(name, [])
        if exchange in waiting:
            waiting.remove(exchange)
            if not waiting and self._loader.withdraw(name):
                del self._waiting[name]

    def _make_room(self, name: str) -> None:
        for gone in self._shelf.expect(name, self._fleet.catalogue.members[name].size):
            self._drop(gone)

    def _finish(self, name: str, found: Loaded | ModelLoadError) -> None:
        """A load has ended: answer those who wait for it."""
        waiting = self._waiting.pop(name, [])
        counts = self._tally.of(name)
        if isinstance(found, ModelLoadError):
            log.warning("the member %s.%s cannot be loaded: %s", self._name, name, found)
            counts.failures += 1
            self._failures[name] = Failure(str(found), self._loop.time() + AGAIN_SECONDS)
            for exchange in waiting:
                exchange.fail(self._unloadable(name, str(found)))
            return
        counts.loads += 1
        self._failures.pop(name, None)
        cost = max(self._fleet.catalogue.members[name].size, found.growth)
        for gone in self._shelf.put(name, cost):
            self._drop(gone)
        resident = self._residents[name] = self._resident(name, found)
        self._by_url |= {
            url: resident for url in resident.endpoints.inference_paths if not url.startswith(SERVICE_PATH)
        }
        for exchange in waiting:
            _answer(resident, exchange)

    def _resident(self, name: str, found: Loaded) -> Resident:
        bounds, signature = self._bounds, found.model.signature
        batcher = Batcher(
            found.model, bounds.max_batch, bounds.max_queue, self._loop, worker=self._worker, took=found.took
        )
        endpoints = Endpoints(
            f"{self._name}.{name}",
            self._version,
            signature,
            batcher,
            reader=make_reader(signature, bounds.max_rows),
            draining=self._draining,
        )
        return Resident(name, endpoints, batcher)

    def _drop(self, name: str) -> None:
        """Forget a loaded member. What it has accepted is still answered; then its memory is free."""
        resident = self._residents.pop(name)
        for url in resident.endpoints.inference_paths:
            self._by_url.pop(url, None)
        resident.endpoints.close()
        self._tally.of(name).evictions += 1

    def _unloadable(self, name: str, reason: str) -> RequestError:
        # 500 and not 503: another replica has the same file, and need not try.
        return RequestError(500, "model_not_loadable", f"{self._name}.{name} cannot be loaded: {reason}")

    def report(self) -> dict[str, object]:
        """What is loaded here, and what was asked of whom."""
        budget, members = self._fleet.budget, self._fleet.catalogue.members
        counts = {name: asdict(counts) for name, counts in self._tally.all()}
        return {
            "name": self._name,
            "version": self._version,
            "loaded": len(self._shelf),
            "bytes": self._shelf.used,
            "max_bytes": budget.memory_bytes,
            "max_loaded": budget.max_loaded or None,
            "members": [
                {"name": name, "state": self._state(name), "bytes": self._shelf.cost(name), **counts.get(name, {})}
                for name in members
            ],
        }

    def _state(self, name: str) -> str:
        if name in self._residents:
            return "loaded"
        if name in self._waiting:
            return "loading"
        return "failed" if name in self._failures else "unloaded"


def _answer(resident: Resident, exchange: Exchange) -> None:
    """Answer an exchange that has waited: nobody above catches what this raises."""
    exchange.cancel = None
    try:
        resident.endpoints.handle(exchange)
    except RequestError as error:
        exchange.fail(error)
    except Exception:
        log.exception("a request could not be handled")
        exchange.fail(internal_error())
