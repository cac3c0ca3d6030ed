"""Which of several operators works: the one that holds the Lease.

The holder renews it every two seconds. Whoever sees the same Lease for longer than it was given for may take it: by its
own clock, since two machines' clocks need not agree. Every write names the version that was read, so that of two who
try only one succeeds. https://kubernetes.io/docs/concepts/architecture/leases/
"""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import Final, Never

from operators.kube.client import LEASES, Api, Conflict, NotFound, Object
from operators.ports import PortUnavailable
from router.pod.retry import Retry

DURATION_SECONDS: Final = 10
RENEW_SECONDS: Final = 2.0
TRY_SECONDS: Final = 3.0
"""How long one attempt to renew may take."""
AGAIN_SECONDS: Final = 0.5
"""The pause after one that failed."""
GIVE_UP_SECONDS: Final = 8.0
"""A holder that could not renew for so long stops: well before anybody else may begin."""
LOOK_SECONDS: Final = 1.0
"""How often those who wait look."""
RELEASE_SECONDS: Final = 2.0
"""How long a holder that stops tries to say so."""

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else may be working now; this process must stop at once."""


class Lease:
    """One Lease, as the process `holder` sees it."""

    def __init__(self, api: Api, namespace: str, name: str, holder: str) -> None:
        """Nothing is asked yet."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._held: Object | None = None
        self._renewed = 0.0
        self.heard: float | None = None
        """When the API server answered last, by the event loop's clock."""

    @property
    def held(self) -> bool:
        """Whether this process works."""
        return self._held is not None

    async def acquire(self) -> None:
        """Return once the Lease is held."""
        retry = Retry("the lease cannot be read or written", longest=LOOK_SECONDS)
        version, since, told = "", 0.0, ""
        while True:
            try:
                found = await self._read()
                if found is None or found["metadata"]["resourceVersion"] != version:
                    version, since = "" if found is None else found["metadata"]["resourceVersion"], _monotonic()
                holder = _holder(found)
                if holder in ("", self._holder) or _monotonic() - since > _duration(found):
                    await self._take(found, DURATION_SECONDS)
                    log.info("%s leads", self._holder)
                    return
                if told != holder:
                    log.info("%s leads, waiting", holder)
                    told = holder
            except Conflict:
                pass  # somebody else was faster
            except PortUnavailable as error:
                await retry.pause(str(error))
                continue
            retry.over()
            await asyncio.sleep(LOOK_SECONDS)

    async def keep(self) -> Never:
        """Renew the Lease until it is lost. Raises `LeaseLost`."""
        problem: str | None = None
        while True:
            until = self._renewed + GIVE_UP_SECONDS
            if _monotonic() >= until:
                raise self._lost(f"it could not be renewed for {GIVE_UP_SECONDS:g} seconds: {problem}")
            await asyncio.sleep(RENEW_SECONDS if problem is None else AGAIN_SECONDS)
            try:
                async with asyncio.timeout_at(min(_monotonic() + TRY_SECONDS, until)):
                    await self._renew()
                problem = None
            except TimeoutError:
                problem = "the API server did not answer"
            except PortUnavailable as error:
                problem = str(error)

    async def release(self) -> None:
        """Let somebody else work at once, if the Lease is held."""
        if self._held is None:
            return
        found, self._held = self._held, None
        spec = found["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        with contextlib.suppress(PortUnavailable, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._api.replace(LEASES, self._namespace, self._name, found | {"spec": spec})
                log.info("%s leads no longer", self._holder)

    async def seize(self, seconds: int) -> None:
        """Take the Lease from whoever holds it, for so long; it stops within `RENEW_SECONDS`.

        Raises `PortUnavailable`.
        """
        for _ in range(5):
            with contextlib.suppress(Conflict):  # it was renewed just now
                await self._take(await self._read(), seconds)
                return
        raise LeaseLost(f"the lease {self._name} could not be taken: somebody else is always faster")

    async def _renew(self) -> None:
        held = self._held
        if held is None:
            raise self._lost("it was released")
        asked = _monotonic()
        try:
            written = await self._api.replace(
                LEASES, self._namespace, self._name, held | {"spec": held["spec"] | {"renewTime": _now()}}
            )
        except (Conflict, NotFound) as error:
            found = await self._read()
            if found is None or _holder(found) != self._holder:
                raise self._lost(f"{_holder(found) or 'nobody'} holds it") from error
            self._held = found  # somebody put a label on it, or an answer was lost
            await self._renew()
        else:
            self._held, self._renewed, self.heard = written, asked, _monotonic()

    async def _read(self) -> Object | None:
        try:
            found = await self._api.get(LEASES, self._namespace, self._name)
        except NotFound:
            found = None
        self.heard = _monotonic()
        return found

    async def _take(self, found: Object | None, seconds: int) -> None:
        """Write the Lease as one's own. Raises `Conflict` when somebody else wrote it since it was `found`."""
        before = {} if found is None else found.get("spec") or {}
        changed = before.get("holderIdentity") != self._holder
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": seconds,
            "acquireTime": _now() if changed else before.get("acquireTime", _now()),
            "renewTime": _now(),
            "leaseTransitions": before.get("leaseTransitions", 0) + (1 if changed and found is not None else 0),
        }
        asked = _monotonic()
        if found is None:
            new = {"apiVersion": LEASES.version, "kind": "Lease", "metadata": {"name": self._name}, "spec": spec}
            self._held = await self._api.create(LEASES, self._namespace, new)
        else:
            self._held = await self._api.replace(LEASES, self._namespace, self._name, found | {"spec": spec})
        self._renewed = asked

    def _lost(self, why: str) -> LeaseLost:
        self._held = None
        return LeaseLost(f"{self._holder} has lost the lease {self._name}: {why}")


def _holder(found: Object | None) -> str:
    return "" if found is None else str((found.get("spec") or {}).get("holderIdentity") or "")


def _duration(found: Object | None) -> float:
    spec = {} if found is None else found.get("spec") or {}
    return float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
