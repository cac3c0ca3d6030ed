"""The API server as the operator uses it: objects as JSON, and an error for every way in which it can fail."""

import http
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from operators.ports import StoreRefused, StoreUnavailable
from router import modelroute
from router.pod import cluster

REQUEST_SECONDS: Final = 10.0
PAGE: Final = 500
"""Objects in one answer to a list."""

Object = dict[str, Any]
"""An object of the API server, as it came."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects: its API version, and its name in URLs."""

    version: str
    plural: str

    @property
    def group(self) -> str:
        """The API group, empty for the core's."""
        return self.version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The URL's path: of all objects in all namespaces or in one, of one object, or of a part of it."""
        root = "/apis" if self.group else "/api"
        within = f"/namespaces/{namespace}" if namespace is not None else ""
        rest = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}/{self.version}{within}/{self.plural}{rest}"


ROLLOUTS: Final = Resource("tidegate.dev/v1alpha1", "modelrollouts")
ROUTES: Final = Resource(f"{modelroute.GROUP}/{modelroute.VERSION}", modelroute.PLURAL)
NAMESPACES: Final = Resource("v1", "namespaces")
PODS: Final = Resource("v1", "pods")
EVENTS: Final = Resource("v1", "events")
LEASES: Final = Resource("coordination.k8s.io/v1", "leases")


class Patch(Enum):
    """How a patch is written; https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


class ApiUnavailable(StoreUnavailable):
    """The API server did not answer, or cannot just now."""


class ApiRefused(StoreRefused):
    """The API server answered, and will not do this; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFound(ApiRefused):
    """There is no such object, or the API server does not know its kind."""


class Conflict(ApiRefused):
    """The object is not what the request took it for, or exists already."""


class Api:
    """Requests to one API server. Every method raises `ApiUnavailable` or an `ApiRefused`."""

    def __init__(self, client: ApiClient, configured: Callable[[], Awaitable[Configuration]]) -> None:
        """`configured` reads anew how to reach the API server: tokens are replaced."""
        self._client = client
        self.configured = configured

    async def objects(self, resource: Resource, namespaces: Sequence[str] = (), selector: str = "") -> list[Object]:
        """All objects in these namespaces (in all without any), as they are now, those with these labels."""
        found: list[Object] = []
        for namespace in namespaces or (None,):
            found += await self._list(resource, namespace, selector)
        return found

    async def _list(self, resource: Resource, namespace: str | None, selector: str) -> list[Object]:
        query: dict[str, Any] = {"limit": PAGE} | ({"labelSelector": selector} if selector else {})
        found: list[Object] = []
        while True:
            try:
                page = await self._ask("GET", resource.path(namespace), query=query)
            except ApiRefused as error:
                if error.status != http.HTTPStatus.GONE or "limit" not in query:
                    raise
                # The list grew too old between two pages: all at once it cannot.
                del query["limit"], query["continue"]
                found = []
                continue
            found += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object; without a namespace, one that is in none."""
        return await self._ask("GET", resource.path(namespace, name))

    async def create(self, resource: Resource, namespace: str, content: Mapping[str, Any]) -> Object:
        """Make an object. Raises `Conflict` when there is one of that name."""
        return await self._ask("POST", resource.path(namespace), content)

    async def replace(self, resource: Resource, namespace: str, name: str, content: Mapping[str, Any]) -> Object:
        """Replace an object. Raises `Conflict` when it is not the version that `content` names."""
        return await self._ask("PUT", resource.path(namespace, name), content)

    async def patch(
        self, resource: Resource, namespace: str, name: str, kind: Patch, content: object, *, subresource: str = ""
    ) -> Object:
        """Change an object; an `APPLY` also makes it."""
        query = {"fieldManager": "tidegate-operator"} | ({"force": "true"} if kind is Patch.APPLY else {})
        return await self._ask(
            "PATCH", resource.path(namespace, name, subresource), content, query=query, media=kind.value
        )

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete this very object. Raises `Conflict` when another one has its name."""
        await self._ask("DELETE", resource.path(namespace, name), {"preconditions": {"uid": uid}})

    async def _ask(
        self,
        method: str,
        path: str,
        content: object = None,
        query: Mapping[str, Any] | None = None,
        media: str = "application/json",
    ) -> Object:
        method, url, headers, body, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": media},
            body=content,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._client.call_api(
                method, url, headers, body, _request_timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)
            )
            status, text = response.status, await response.response.read()
        except TimeoutError as error:
            raise ApiUnavailable(f"the API server did not answer within {REQUEST_SECONDS:g} seconds") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ApiUnavailable(f"the API server cannot be reached: {error or type(error).__name__}") from error
        if status < 400:
            return _parsed(text)
        raise _failure(status, f"{method} {path}", text)


def _parsed(text: bytes) -> Object:
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise ApiUnavailable(f"the API server's answer broke off: {error}") from error
    if not isinstance(answer, dict):
        raise ApiUnavailable(f"the API server's answer is no object but {str(answer)[:100]!r}")
    return answer


def _failure(status: int, request: str, text: bytes) -> ApiUnavailable | ApiRefused:
    """The error for an answer of 400 and above; the API server explains it in a `Status` object."""
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = text.decode(errors="replace")[:200] or http.HTTPStatus(status).phrase
    message = f"the API server answered {status} to {request}: {said}"
    # 401: the service account's token is being replaced, or the API server cannot check it just now.
    if status in (401, 408, 429) or status >= 500:
        return ApiUnavailable(message)
    kinds: dict[int, type[ApiRefused]] = {404: NotFound, 409: Conflict}
    return kinds.get(status, ApiRefused)(status, message)


@asynccontextmanager
async def connected(kubeconfig: str | None = None) -> AsyncIterator[Api]:
    """The API server that `router.pod.cluster` finds. Raises `NoCluster`."""
    async with cluster.connected(kubeconfig) as client:
        yield Api(client, partial(cluster.configuration, kubeconfig))
