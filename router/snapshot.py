"""A snapshot: everything Envoy should have at one moment, in bytes that are the same whenever the meaning is.

The version of a type is the SHA-256 over its resources, sorted by name. So a restart of the router changes no version,
a change of weights changes that of the routes alone, and a change of endpoints that of the assignments alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from types import MappingProxyType
from typing import Any

from router.config import ListenConfig
from router.ir import BackendKey, Route, RouteKey
from router.translate.clusters import cluster_name, live_cluster, mirror_cluster
from router.translate.endpoints import load_assignment
from router.translate.listeners import LISTENER, listener
from router.translate.routes import ROUTE_CONFIG, check, inference_paths, route_configuration
from router.translate.selection import in_effect


class ResourceType(Enum):
    """The four types, by type URL, in the order in which they are sent."""

    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    ENDPOINT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class InvalidRoutes(Exception):
    """Routes that cannot be translated; `errors` says why, for each of them."""

    def __init__(self, errors: Mapping[RouteKey, str]) -> None:
        super().__init__("; ".join(f"{key.namespace}/{key.name}: {reason}" for key, reason in sorted(errors.items())))
        self.errors = errors


class InconsistentSnapshot(Exception):
    """The resources do not fit together; `problems` is all that is wrong with them."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Resources:
    """The serialised resources of one type by name, and their version."""

    items: Mapping[str, bytes]
    version: str = field(init=False)

    def __post_init__(self) -> None:
        """Derive the version."""
        object.__setattr__(self, "version", _version(self.items))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What Envoy should have. `source` is what it was made from, `referenced` the clusters that the routes name."""

    source: Mapping[RouteKey, Route]
    clusters: Resources
    endpoints: Resources
    listeners: Resources
    routes: Resources
    referenced: frozenset[str]

    def check(self) -> None:
        """Raise `InconsistentSnapshot` when the resources do not fit together, with everything that is wrong."""
        known, assigned = set(self.clusters.items), set(self.endpoints.items)
        problems = [
            *(f"the routes name the unknown cluster {name}" for name in sorted(self.referenced - known)),
            *(f"the cluster {name} has no assignment" for name in sorted(known - assigned)),
            *(f"there is an assignment for the unknown cluster {name}" for name in sorted(assigned - known)),
        ]
        if set(self.routes.items) != {ROUTE_CONFIG}:
            problems.append(
                f"the listener asks for {ROUTE_CONFIG}, the route configurations are {set(self.routes.items)}"
            )
        if problems:
            raise InconsistentSnapshot(problems)


def build(
    routes: Iterable[Route],
    listen: ListenConfig,
    *,
    published: bool = True,
    running: Mapping[RouteKey, Route] = MappingProxyType({}),
) -> Snapshot:
    """Translate the routes of the whole fleet.

    `published` is False while nobody has said yet which routes there are. Raises `InvalidRoutes` with an error for each
    route that cannot be sent, so that the caller can go on without those. Of two that claim the same, one that is
    `running` keeps it, else the first by key.
    """
    ordered = sorted(routes, key=lambda route: route.key)
    clusters: dict[str, bytes] = {}
    endpoints: dict[str, bytes] = {}
    errors = _conflicts(sorted(ordered, key=lambda route: running.get(route.key) != route))
    for route in ordered:
        try:
            for name, cluster, assignment in _clusters(route):
                clusters[name] = _serialised(cluster)
                endpoints[name] = _serialised(assignment)
            check(route)
        except (ValueError, TypeError) as error:
            errors.setdefault(route.key, str(error))
    if errors:
        raise InvalidRoutes(errors)
    snapshot = Snapshot(
        source={route.key: route for route in ordered},
        clusters=Resources(clusters),
        endpoints=Resources(endpoints),
        listeners=Resources({LISTENER: _serialised(listener(listen))}),
        routes=Resources(
            {
                ROUTE_CONFIG: _serialised(
                    route_configuration(ordered, published=published, monitored=listen.monitor is not None)
                )
            }
        ),
        referenced=frozenset(name for route in ordered for name in referenced_clusters(route)),
    )
    snapshot.check()
    return snapshot


def referenced_clusters(route: Route) -> Iterator[str]:
    """The clusters that the translated route names.

    These are the versions with weight and, when there is traffic, that of the selection and of the mirror.
    """
    weighted = [backend for backend in route.backends if backend.weight]
    for backend in weighted:
        yield cluster_name(BackendKey(route.key, backend.version, mirrored=False))
    selection = in_effect(route)
    if weighted and selection is not None:
        yield cluster_name(BackendKey(route.key, selection.version, mirrored=False))
    if weighted and route.mirror is not None:
        yield cluster_name(BackendKey(route.key, route.mirror.version, mirrored=True))


def _clusters(route: Route) -> Iterator[tuple[str, Any, Any]]:
    for backend in route.backends:
        key = BackendKey(route.key, backend.version, mirrored=False)
        yield (
            cluster_name(key),
            live_cluster(key, members=backend.members),
            load_assignment(cluster_name(key), backend.endpoints),
        )
        if route.mirror is not None and route.mirror.version == backend.version:
            key = BackendKey(route.key, backend.version, mirrored=True)
            cluster = mirror_cluster(key, route.mirror.max_concurrency, members=backend.members)
            yield cluster_name(key), cluster, load_assignment(cluster_name(key), backend.endpoints)


def _conflicts(routes: Sequence[Route]) -> dict[RouteKey, str]:
    """Routes that claim a model name or path on a host where a route before them has it."""
    owners: dict[tuple[str, str], RouteKey] = {}
    errors: dict[RouteKey, str] = {}
    for route in routes:
        claims = {f"model {route.model}": inference_paths(route.model)[0]}
        claims |= {f"path {path}": path for path in route.paths.given.values()}
        for host, (what, path) in product(route.hosts, claims.items()):
            owner = owners.setdefault((host.lower(), path), route.key)
            if owner != route.key:
                errors.setdefault(route.key, f"{what} on host {host} belongs to {owner.namespace}/{owner.name}")
    return errors


def _serialised(resource: Any) -> bytes:
    data: bytes = resource.SerializeToString(deterministic=True)
    return data


def _version(items: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(items):
        for part in (name.encode(), items[name]):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()
