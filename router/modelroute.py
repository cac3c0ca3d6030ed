"""A route as a custom resource: the `spec` of a `ModelRoute` and what the routers say in its `status`.

The operator writes `spec`, every router writes the one entry of `status.routers` that has its name. Plain mappings in
and out, so that both sides, and whoever generates the schema, share one description of the format.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from router.ir import Backend, Condition, Cookie, Endpoint, Mirror, Paths, Retry, Route, RouteKey, Selection

GROUP: Final = "tidegate.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "ModelRoute"
PLURAL: Final = "modelroutes"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What one router says: `generation` is that of the newest spec which its Envoy runs, with clusters and endpoints.

    `rejected` is Envoy's message about a newer one that it refused; empty otherwise.
    """

    generation: int
    rejected: str = ""


def spec_of(route: Route) -> dict[str, Any]:
    """The spec as JSON; the key is the object's own namespace and name."""
    spec: dict[str, Any] = {
        "model": route.model,
        "hosts": list(route.hosts),
        "backends": [
            {
                "version": backend.version,
                "weight": backend.weight,
                "endpoints": [{"host": endpoint.host, "port": endpoint.port} for endpoint in backend.endpoints],
                **({"members": True} if backend.members else {}),
            }
            for backend in route.backends
        ],
        "timeoutSeconds": route.timeout_seconds,
        "retry": {"attempts": route.retry.attempts, "idempotent": route.retry.idempotent},
        "maxBodyBytes": route.max_body_bytes,
    }
    if route.mirror is not None:
        spec["mirror"] = {
            "version": route.mirror.version,
            "share": route.mirror.share,
            "maxConcurrency": route.mirror.max_concurrency,
        }
    if route.sticky_header is not None:
        spec["stickyHeader"] = route.sticky_header
    if route.sticky_cookie is not None:
        spec["stickyCookie"] = {"name": route.sticky_cookie.name, "ttlSeconds": route.sticky_cookie.ttl_seconds}
    if route.selection is not None:
        spec["selection"] = {
            "version": route.selection.version,
            "matches": [{"conditions": [*map(_condition_json, match)]} for match in route.selection.matches],
        }
    if route.exposures:
        spec["exposures"] = True
    if route.paths.given:
        spec["paths"] = dict(route.paths.given)
    return spec


def route_of(key: RouteKey, spec: Mapping[str, Any]) -> Route:
    """The route that `spec_of` wrote. Raises `ValueError` when the spec is none of this release's."""
    try:
        mirror, selection, cookie = spec.get("mirror"), spec.get("selection"), spec.get("stickyCookie")
        retry = spec["retry"]
        return Route(
            key=key,
            model=spec["model"],
            hosts=tuple(spec["hosts"]),
            backends=tuple(
                Backend(
                    backend["version"],
                    backend["weight"],
                    tuple(Endpoint(endpoint["host"], endpoint["port"]) for endpoint in backend.get("endpoints", ())),
                    backend.get("members", False),
                )
                for backend in spec.get("backends", ())
            ),
            mirror=None if mirror is None else Mirror(mirror["version"], mirror["share"], mirror["maxConcurrency"]),
            selection=None if selection is None else _selection(selection),
            sticky_header=spec.get("stickyHeader"),
            sticky_cookie=None if cookie is None else Cookie(cookie["name"], cookie["ttlSeconds"]),
            exposures=spec.get("exposures", False),
            timeout_seconds=float(spec["timeoutSeconds"]),
            retry=Retry(retry["attempts"], retry["idempotent"]),
            max_body_bytes=spec["maxBodyBytes"],
            paths=Paths(**spec.get("paths", {})),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"modelroute {key.namespace}/{key.name} cannot be read: {error!r}") from error


def _condition_json(condition: Condition) -> dict[str, Any]:
    """What the condition says, without what it leaves open."""
    fields = {**asdict(condition), "feature": [*condition.feature], "values": [*condition.values]}
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _selection(selection: Mapping[str, Any]) -> Selection:
    matches = tuple(tuple(map(_condition, match["conditions"])) for match in selection["matches"])
    return Selection(selection["version"], matches)


def _condition(fields: Mapping[str, Any]) -> Condition:
    return Condition(
        header=fields.get("header"),
        feature=tuple(fields.get("feature", ())),
        values=tuple(fields.get("values", ())),
        prefix=fields.get("prefix"),
        low=fields.get("low"),
        high=fields.get("high"),
    )


def acknowledgement_json(said: Acknowledgement) -> dict[str, Any]:
    """The entry of `status.routers` under the router's name."""
    return {"generation": said.generation, "rejected": said.rejected}


def acknowledgements(status: Mapping[str, Any] | None) -> dict[str, Acknowledgement]:
    """What each router says, by its name. Entries that make no sense are left out: they acknowledge nothing."""
    routers = (status or {}).get("routers")
    if not isinstance(routers, Mapping):
        return {}
    return {
        name: Acknowledgement(entry["generation"], str(entry.get("rejected") or ""))
        for name, entry in routers.items()
        if isinstance(entry, Mapping) and isinstance(entry.get("generation"), int)
    }
