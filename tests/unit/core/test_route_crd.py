"""The definition of ModelRoute and the format that the operator writes and the routers read agree."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.api import route_crd
from router.ir import (
    BASIS_POINTS,
    Backend,
    Condition,
    Cookie,
    Endpoint,
    Mirror,
    Paths,
    Retry,
    Route,
    RouteKey,
    Selection,
)
from router.lastgood import route_from_json
from router.modelroute import Acknowledgement, acknowledgement_json, acknowledgements, route_of, spec_of

PROPERTIES = route_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
KEY = RouteKey("models", "iris")
FULL = Route(
    KEY,
    "iris",
    ("a.example",),
    (Backend("b", 525, (Endpoint("10.0.0.1", 8000),), members=True), Backend("a", 9475)),
    Mirror("b", BASIS_POINTS),
    Selection("b", ((Condition("x-a", values=("1",)), Condition(feature=("a", "b"), low=0.0, high=1.5)),)),
    "x-user-id",
    exposures=True,
    paths=Paths("/predict", "/health", "/info", "/openapi.json", "/docs"),
)
FULL_OF_OTHERS = replace(
    FULL,
    selection=Selection("b", ((Condition("x-a", prefix="1"), Condition(feature=("a",), values=("1", 1, 2.5, True))),)),
    sticky_header=None,
    sticky_cookie=Cookie("c", 60),
)
"""What cannot be together with the fields of the first."""


TEXTS = st.text(max_size=5)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
FEATURES = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)
CONDITIONS = st.one_of(
    st.builds(Condition, header=TEXTS, values=st.lists(TEXTS, max_size=3).map(tuple)),
    st.builds(Condition, header=TEXTS, prefix=TEXTS),
    st.builds(Condition, feature=FEATURES, values=st.lists(TEXTS | NUMBERS | st.booleans(), max_size=3).map(tuple)),
    st.builds(Condition, feature=FEATURES, prefix=st.none() | TEXTS),
    st.builds(Condition, feature=FEATURES, low=st.none() | NUMBERS, high=st.none() | NUMBERS),
)
STICKY = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"sticky_header": st.text()}),
    st.fixed_dictionaries({"sticky_cookie": st.builds(Cookie, st.text(), st.integers(1))}),
)


def selections(versions: st.SearchStrategy[str]) -> st.SearchStrategy[Selection]:
    """Any selection for one of these versions."""
    matches = st.lists(st.lists(CONDITIONS, max_size=3).map(tuple), max_size=3).map(tuple)
    return st.builds(Selection, versions, matches)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    """Any route that can be."""
    names = draw(st.lists(st.text(min_size=1), unique=True, max_size=4))
    cuts = sorted(draw(st.lists(st.integers(0, BASIS_POINTS), min_size=len(names), max_size=len(names))))
    weights = [end - start for start, end in zip([0, *cuts[:-1]], [*cuts[:-1], BASIS_POINTS], strict=True)]
    endpoints = st.lists(st.builds(Endpoint, st.text(), st.integers(1, 65535)), max_size=3).map(tuple)
    shares = st.integers(1, BASIS_POINTS)
    return Route(
        key=KEY,
        model=draw(st.text()),
        hosts=tuple(draw(st.lists(st.text(), max_size=3))),
        backends=tuple(Backend(name, weight, draw(endpoints)) for name, weight in zip(names, weights, strict=False)),
        mirror=draw(st.none() | st.builds(Mirror, st.sampled_from(names), shares, st.integers(1))) if names else None,
        selection=draw(st.none() | selections(st.sampled_from(names))) if names else None,
        **draw(STICKY),
        exposures=draw(st.booleans()),
        timeout_seconds=draw(st.floats(0.001, 1e6)),
        retry=draw(st.builds(Retry, st.integers(0), st.booleans())),
        max_body_bytes=draw(st.integers(1)),
        paths=draw(st.builds(Paths, *[st.none() | TEXTS] * 5)),
    )


def faults(schema: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """What the schema has against a value, as far as it says anything; a field unknown to it is a fault."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if not isinstance(value, JSON_TYPES[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool)):
        yield f"{path} is no {schema['type']}"
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, entry in value.items():
            known = properties.get(name, schema.get("additionalProperties"))
            yield from faults(known, entry, f"{path}.{name}") if known else (f"{path}.{name} is unknown",)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from faults(schema["items"], entry, f"{path}[{index}]")
    elif not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path} is out of range"


def blocks(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Every mapping within a value, and where it is."""
    if isinstance(value, dict):
        yield path, value
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from blocks(entry, (*path, key))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """What is there."""
    for part in path:
        value = value[part]
    return value


@given(routes())
def test_every_route_fits_the_schema_and_is_read_back(route: Route) -> None:
    spec = json.loads(json.dumps(spec_of(route)))
    assert [*faults(PROPERTIES["spec"], spec)] == []
    # The text tells 1 from true and from "1", which equality does not.
    assert repr(route_of(KEY, spec)) == repr(route)
    assert route_of(KEY, spec) == route
    assert repr(route_from_json(json.loads(json.dumps(asdict(route))))) == repr(route)


def test_the_schema_has_no_field_that_the_operator_does_not_write() -> None:
    written: dict[tuple[str, ...], set[str]] = {}
    for spec in (spec_of(FULL), spec_of(FULL_OF_OTHERS)):
        for path, block in blocks(spec):
            written.setdefault(tuple("[]" if isinstance(part, int) else part for part in path), set()).update(block)
    for path, names in written.items():
        schema = PROPERTIES["spec"]
        for part in path:
            schema = schema["items"] if part == "[]" else schema["properties"][part]
        assert names == schema["properties"].keys(), path


@pytest.mark.parametrize("route", [FULL, FULL_OF_OTHERS])
def test_what_a_router_cannot_do_without_is_required(route: Route) -> None:
    for path, block in blocks(spec_of(route)):
        # That a condition is about one of two things stands in no schema; the operator writes nothing else.
        for name in block.keys() - {"header", "feature"}:
            spec = deepcopy(spec_of(route))
            del at(spec, path)[name]
            try:
                route_of(KEY, spec)
            except ValueError:
                assert [*faults(PROPERTIES["spec"], spec)], (*path, name)


def test_the_schema_refuses_what_does_not_fit() -> None:
    spec = spec_of(FULL)
    assert [*faults(PROPERTIES["spec"], spec | {"backends": [{"version": "a", "weight": "1"}], "later": 1})] == [
        ".backends[0].weight is no integer",
        ".later is unknown",
    ]


@pytest.mark.parametrize("said", [Acknowledgement(3), Acknowledgement(0, "no such cluster")])
def test_what_a_router_says_fits_the_schema_and_is_read_back(said: Acknowledgement) -> None:
    status = {"routers": {"router-a": acknowledgement_json(said)}}
    assert [*faults(PROPERTIES["status"], status)] == []
    assert acknowledgements(status) == {"router-a": said}
