"""ModelRoutes at the API server: followed, published to the router, acknowledged in their status.

Each namespace is listed, then watched from the list's version for some minutes, then listed again, so that nothing that
a watch may miss is missed for long. Nothing is published before every namespace has been listed once. While the API
server is away, the router goes on with what it has.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi

from router.modelroute import GROUP, PLURAL, VERSION, acknowledgement_json
from router.pod.book import Due, Object, RouteBook
from router.pod.retry import Retry
from router.service import Router

_log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 240
"""How long the API server is asked to keep a watch open; then everything is listed again."""
REQUEST_SECONDS: Final = 30.0
PATCH_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.2
"""The pause after the first failure; doubles up to `RETRY_LIMIT_SECONDS`."""
RETRY_LIMIT_SECONDS: Final = 5.0
UNREACHABLE: Final = (ApiException, aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""What asking the API server may end in; `ValueError`: its answer was cut off."""


class ModelRoutes:
    """Follows the ModelRoutes of some namespaces on behalf of one router."""

    def __init__(self, client: ApiClient, router: Router, name: str, namespaces: Sequence[str]) -> None:
        """`name` is this router's own in `status.routers`; no `namespaces` means all of them.

        The router must have been started: what it remembers counts until something better is known.
        """
        self._api = CustomObjectsApi(client)
        self._router = router
        self._name = name
        self._scopes: tuple[str | None, ...] = tuple(sorted(set(namespaces))) or (None,)
        self._book = RouteBook(name, router.published())
        self._listed: set[str | None] = set()
        self._changed = asyncio.Event()
        self._published = asyncio.Event()
        self._look = asyncio.Event()

    async def published(self) -> None:
        """Return once every namespace has been listed and the routes have been given to the router."""
        await self._published.wait()

    async def run(self) -> None:
        """Follow until cancelled. The API server may be away at any time and for as long as it likes."""
        async with asyncio.TaskGroup() as tasks:
            for scope in self._scopes:
                tasks.create_task(self._follow(scope), name=f"modelroutes of {_named(scope)}")
            tasks.create_task(self._publish(), name="modelroutes to the router")
            tasks.create_task(self._notice(), name="acknowledged routes")
            tasks.create_task(self._acknowledge(), name="modelroute status")

    async def _follow(self, scope: str | None) -> None:
        retry = _retry(f"the modelroutes of {_named(scope)} cannot be followed; the routes stay as they are")
        while True:
            try:
                version = await self._list(scope)
                retry.over()
                await self._watch(scope, version)
            except UNREACHABLE as error:
                # 410: the version to watch from is too old, and nothing is wrong.
                if not (isinstance(error, ApiException) and error.status == 410):
                    await retry.pause(reason(error))
                    continue
            # A proxy that ends every watch at once must not make this a busy loop.
            await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, scope: str | None) -> str:
        """List one namespace; the version of the list."""
        answer: Any = await self._ask(scope, _request_timeout=REQUEST_SECONDS)
        self._book.replace(answer["items"], within=lambda namespace: scope in (None, namespace))
        self._listed.add(scope)
        self._changed.set()
        return str(answer["metadata"]["resourceVersion"])

    async def _watch(self, scope: str | None, version: str) -> None:
        """Take in changes since a version until the API server ends the watch. Raises one of `UNREACHABLE`."""
        # The client's own `Watch` takes the rest of a line that was cut off for an event, hence by hand.
        response = await self._ask(
            scope,
            watch=True,
            resource_version=version,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=WATCH_SECONDS + REQUEST_SECONDS,
        )
        async with response:
            if response.status != 200:
                raise ApiException(status=response.status, reason=response.reason)
            async for line in response.content:
                self._take(orjson.loads(line))

    async def _ask(self, scope: str | None, *, watch: bool = False, **options: Any) -> Any:
        """The list of one namespace, or the open response of a watch."""
        if scope is None:
            ask: Callable[..., Awaitable[Any]] = (
                self._api.list_cluster_custom_object_without_preload_content
                if watch
                else self._api.list_cluster_custom_object
            )
            return await ask(GROUP, VERSION, PLURAL, watch=watch, **options)
        ask = (
            self._api.list_namespaced_custom_object_without_preload_content
            if watch
            else self._api.list_namespaced_custom_object
        )
        return await ask(GROUP, VERSION, scope, PLURAL, watch=watch, **options)

    def _take(self, event: dict[str, Any]) -> None:
        item: Object = event["object"]
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._book.take(item)
            case "DELETED":
                self._book.remove(item)
            case "ERROR":
                raise ApiException(status=item.get("code"), reason=item.get("message"))
            case _:
                return
        self._changed.set()

    async def _publish(self) -> None:
        """Give the routes to the router; all that changed at once goes at once, as each time costs the whole fleet."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if len(self._listed) == len(self._scopes):
                await self._router.publish(self._book.routes())
                self._published.set()
                self._look.set()

    async def _notice(self) -> None:
        async for _ in self._router.changes():
            self._look.set()

    async def _acknowledge(self) -> None:
        """Write into the status what changed, the newest only; what could not be written is tried again."""
        await self._published.wait()
        retry = _retry("the status of modelroutes cannot be written; rollouts wait for it")
        while True:
            await self._look.wait()
            self._look.clear()
            failure: Exception | None = None
            for due in self._book.due(self._router):
                try:
                    await self._write(due)
                except UNREACHABLE as error:
                    failure = error
                else:
                    self._book.wrote(due)
            if failure is None:
                retry.over()
            else:
                await retry.pause(reason(failure))
                self._look.set()

    async def _write(self, due: Due) -> None:
        status = {"routers": {self._name: acknowledgement_json(due.acknowledgement)}}
        try:
            await self._api.patch_namespaced_custom_object_status(
                *(GROUP, VERSION, due.key.namespace, PLURAL, due.key.name),
                {"status": status},
                _content_type="application/merge-patch+json",
                _request_timeout=PATCH_SECONDS,
            )
        except ApiException as error:
            if error.status != 404:
                raise
            _log.info("modelroute %s/%s is gone, nothing is said about it", due.key.namespace, due.key.name)


def reason(error: Exception) -> str:
    """What went wrong at the API server, and where to look."""
    if not isinstance(error, ApiException):
        return f"{type(error).__name__}: {error}"
    hints = {
        401: "; the pod's service account is not accepted",
        403: f"; the router's service account may not read or patch {PLURAL}.{GROUP} there: see its Role",
        404: f"; is the definition of {PLURAL}.{GROUP} installed?",
    }
    return f"the API server answered {error.status} {error.reason}{hints.get(error.status or 0, '')}"


def _retry(what: str) -> Retry:
    return Retry(what, RETRY_SECONDS, RETRY_LIMIT_SECONDS)


def _named(scope: str | None) -> str:
    return "all namespaces" if scope is None else f"namespace {scope}"
