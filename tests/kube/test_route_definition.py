"""What the API server makes of a route's less common fields."""

import json
from typing import Any

import pytest

from router.ir import Backend, Condition, Cookie, Route, RouteKey, Selection
from router.modelroute import route_of, spec_of
from tests.kube.apiserver import ApiServer

BACKENDS = (Backend("b", 525), Backend("a", 9475))
MIXED = Condition(feature=("user", "id"), values=("1", 1, 2.5, True))


def apply(server: ApiServer, namespace: str, spec: dict[str, Any]) -> None:
    manifest = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "iris"}, "spec": spec}
    server.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(manifest))


@pytest.mark.parametrize(
    "fields",
    [
        {
            "selection": Selection("b", ((Condition("x-a", prefix="1"), MIXED), (Condition(feature=("f",), low=0.5),))),
            "sticky_header": "x-user-id",
            "exposures": True,
        },
        {"selection": Selection("b", ((Condition("x-a"),),)), "sticky_cookie": Cookie("c", 60)},
    ],
)
def test_every_field_is_stored_as_it_was_written(api_server: ApiServer, namespace: str, fields: dict[str, Any]) -> None:
    route = Route(RouteKey(namespace, "iris"), "iris", backends=BACKENDS, **fields)
    apply(api_server, namespace, spec_of(route))
    stored = json.loads(api_server.kubectl("-n", namespace, "get", "mroute/iris", "-o", "json").stdout)
    # The text tells 1 from true, which equality does not.
    assert repr(route_of(route.key, stored["spec"])) == repr(route)
