"""The route configuration (RDS): which request goes to which cluster.

Every route of the fleet stands in the virtual host of each of its hosts, and in those of all hosts that its wildcards
cover, since Envoy looks into one virtual host only. Paths are matched exactly, so that `iris` never answers `iris2`.
"""

import re
from collections.abc import Iterator, Sequence

from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.config.route.v3 import route_pb2
from google.protobuf import wrappers_pb2

from router.ir import Route
from router.translate.aliases import DESCRIPTIONS, inference_aliases, metadata_aliases, named_path
from router.translate.aliases import problems as alias_problems
from router.translate.answers import constant, no_such_model, not_published
from router.translate.feedback import feedback_routes, no_monitor
from router.translate.forward import forwards
from router.translate.grpc import grpc_routes
from router.translate.hashing import COOKIE_NAME
from router.translate.headers import HEADER_NAME
from router.translate.members import list_places, member_places
from router.translate.places import Place
from router.translate.selection import problems as selection_problems

ROUTE_CONFIG = "tidegate"

_ANY_HOST = "*"
_HOST = re.compile(r"\*|(\*[.-])?[a-z0-9]([a-z0-9.-]*[a-z0-9])?([.-]\*)?", re.IGNORECASE)
_MODEL = re.compile(r"[A-Za-z0-9._~-]+")


def route_configuration(
    routes: Sequence[Route], *, published: bool = True, monitored: bool = False
) -> route_pb2.RouteConfiguration:
    """All routes of the fleet.

    `published` is False while nobody has said yet which routes there are: then an unknown model gets 503, not 404.
    `monitored` says whether Envoy knows a monitor that feedback can go to.
    """
    domains = sorted({host.lower() for route in routes for host in route.hosts} | {_ANY_HOST})
    return route_pb2.RouteConfiguration(
        name=ROUTE_CONFIG,
        virtual_hosts=[_virtual_host(domain, routes, published=published, monitored=monitored) for domain in domains],
        # Route lookup is by path; a cluster that is not there is the snapshot's fault, and Envoy shall say so.
        validate_clusters=wrappers_pb2.BoolValue(value=False),
    )


def check(route: Route) -> None:
    """Raise `ValueError` for what Envoy would refuse, or understand differently than it was meant."""
    problems = [
        *(f"{host!r} is no host name" for host in route.hosts if not _HOST.fullmatch(host)),
        *([] if route.hosts else ["a route needs at least one host"]),
        *([] if _MODEL.fullmatch(route.model) else [f"{route.model!r} cannot stand in a path"]),
        *([] if route.max_body_bytes > 0 else [f"a body limit of {route.max_body_bytes} bytes lets nothing in"]),
        *([] if route.timeout_seconds >= 0.001 else [f"a timeout of {route.timeout_seconds:g} s is below 1 ms"]),
        *([] if route.retry.attempts >= 0 else [f"{route.retry.attempts} retries are not possible"]),
        *([] if route.selection is None else selection_problems(route.selection)),
        *alias_problems(route.paths),
    ]
    if route.sticky_header is not None and not HEADER_NAME.fullmatch(route.sticky_header):
        problems.append(f"{route.sticky_header!r} is no header name")
    elif route.sticky_header is not None and route.exposures and "%" in route.sticky_header:
        problems.append(f"what the header {route.sticky_header!r} says cannot be told to replicas: its name has a %")
    if route.sticky_cookie is not None and not COOKIE_NAME.fullmatch(route.sticky_cookie.name):
        problems.append(f"{route.sticky_cookie.name!r} is no name that a cookie over plain HTTP can have")
    if route.sticky_cookie is not None and route.sticky_cookie.ttl_seconds < 1:
        problems.append(f"a cookie that lasts {route.sticky_cookie.ttl_seconds} s is gone before it comes back")
    if route.mirror is not None and route.mirror.max_concurrency < 1:
        problems.append(f"a mirror of {route.mirror.max_concurrency} requests at once copies nothing")
    if problems:
        raise ValueError("; ".join(problems))
    route_configuration([route])


def covers(pattern: str, domain: str) -> bool:
    """Whether every request for `domain` is one for `pattern`: the same, `*`, `*.example.com` or `example.*`."""
    if pattern in (domain, _ANY_HOST):
        return True
    if pattern.startswith("*"):
        return domain.endswith(pattern[1:])
    return pattern.endswith("*") and domain.startswith(pattern[:-1])


def inference_paths(model: str) -> tuple[str, ...]:
    """Where predictions are asked for: v2, v1 and named fields."""
    return f"/v2/models/{model}/infer", f"/v1/models/{model}:predict", f"/api/v1/models/{model}/predict"


def metadata_paths(model: str) -> tuple[str, ...]:
    """Where a model is described."""
    named = (named_path(model, what) for what in DESCRIPTIONS)
    return f"/v2/models/{model}", f"/v2/models/{model}/ready", f"/v1/models/{model}", *named


def _virtual_host(domain: str, routes: Sequence[Route], *, published: bool, monitored: bool) -> rc.VirtualHost:
    # A route that names the host itself comes before those that cover it; among them the longest pattern wins.
    matching: list[tuple[int, Route]] = []
    for route in routes:
        patterns = [host for host in route.hosts if covers(host.lower(), domain)]
        if patterns:
            matching.append((max(map(len, patterns)), route))
    matching.sort(key=lambda found: (-found[0], found[1].key))
    models = [route for _, route in matching]
    return rc.VirtualHost(
        name=domain,
        domains=[domain],
        routes=[
            *_fleet_routes(published=published),
            # Envoy tries entries in order: no prediction at a protocol's path passes what is for anything else.
            *(entry for route in models for entry in _prediction_routes(route, monitored=monitored)),
            *(entry for route in models for entry in _alias_routes(route)),
            *(entry for route in models for entry in _other_routes(route, monitored=monitored)),
            *grpc_routes(models),
            *([] if monitored or not published else [no_monitor()]),
            no_such_model() if published else not_published(),
        ],
    )


def _fleet_routes(*, published: bool) -> Iterator[rc.Route]:
    yield from constant("/v2/health/live", '{"live":true}')
    if published:  # else the last route of the virtual host answers
        yield from constant("/v2/health/ready", '{"ready":true}')
    yield from constant("/v2", '{"name":"tidegate","version":"2","extensions":[]}')


def _prediction_routes(route: Route, *, monitored: bool) -> Iterator[rc.Route]:
    yield from forwards(route, [*map(Place, inference_paths(route.model))])
    if route.members:  # their places are all paths that begin as theirs do, those for feedback among them
        yield from feedback_routes(route) if monitored else [no_monitor()]
        yield from forwards(route, [*member_places(route)])


def _alias_routes(route: Route) -> Iterator[rc.Route]:
    # Of two routes that have one path, whatever for, the first has it.
    return forwards(route, inference_aliases(route), metadata_aliases(route))


def _other_routes(route: Route, *, monitored: bool) -> Iterator[rc.Route]:
    yield from forwards(route, metadata=[*map(Place, metadata_paths(route.model)), *list_places(route)])
    if monitored and not route.members:
        yield from feedback_routes(route)
