"""Paths of a model's own, through a real Envoy: which requests they are for, and what a replica gets to see of them."""

from collections.abc import Awaitable, Callable
from typing import Any

from router.ir import Condition, Mirror, Paths, Selection

Start = Callable[..., Awaitable[Any]]

PATHS = Paths("/api/v1/predict", "/api/v1/health", "/api/v1/model-info", "/openapi.json", "/docs")
LONG = {
    "/api/v1/predict": "POST /api/v1/models/credit/predict",
    "/api/v1/health": "GET /api/v1/models/credit/health",
    "/api/v1/model-info": "GET /api/v1/models/credit/info",
    "/openapi.json": "GET /api/v1/models/credit/openapi.json/for/api/v1/predict",
    "/docs": "GET /api/v1/models/credit/docs/for/api/v1/predict",
}


def asked(upstream: Any) -> list[str]:
    """The request lines that a replica got, without the protocol."""
    return [head.split(" HTTP/1.1", 1)[0] for head in upstream.heads]


async def test_a_replica_is_asked_for_the_long_path_with_the_query_as_it_was(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("credit", (replica, 10_000), paths=PATHS))
    for path, line in LONG.items():
        answer = await stack.ask(f"{path}?a=1", b"{}" if line.startswith("POST") else None)
        assert (answer.status, answer.version) == (200, "v")
    assert asked(replica) == [f"{line}?a=1" for line in LONG.values()]
    assert not any("x-envoy-original-path" in head for head in replica.heads)


async def test_pages_are_those_of_the_long_path_where_predictions_have_no_path_of_their_own(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("credit", (replica, 10_000), paths=Paths(openapi="/openapi.json")))
    assert (await stack.ask("/openapi.json", None)).status == 200
    assert asked(replica) == ["GET /api/v1/models/credit/openapi.json"]


async def test_a_path_is_the_models_on_its_own_hosts_only(stack: Any, upstream: Start, make_route: Any) -> None:
    credit, loans, tax = await upstream("credit"), await upstream("loans"), await upstream("tax")
    paths = Paths("/api/v1/predict")
    await stack.publish(
        make_route("credit", (credit, 10_000), paths=paths, hosts=("credit.test",)),
        make_route("loans", (loans, 10_000), paths=paths, hosts=("*.loans.test",)),
    )
    for host, version in (("credit.test", "credit"), ("a.loans.test", "loans"), ("credit.test:8080", "credit")):
        assert (await stack.ask("/api/v1/predict", headers={"host": host})).version == version
    assert (await stack.ask("/api/v1/predict", headers={"host": "other.test"})).status == 404
    # Whoever names a host itself comes before who has all that is left.
    await stack.publish(
        make_route("credit", (credit, 10_000), paths=paths, hosts=("credit.test",)),
        make_route("a-tax", (tax, 10_000), paths=paths),
    )
    for host, version in (("credit.test", "credit"), ("other.test", "tax")):
        assert (await stack.ask("/api/v1/predict", headers={"host": host})).version == version


async def test_while_a_path_moves_from_model_to_model_both_go_on(stack: Any, upstream: Start, make_route: Any) -> None:
    a, b, paths = await upstream("a"), await upstream("b"), Paths("/api/v1/predict")
    had = make_route("b", (b, 10_000), paths=paths)
    gets = make_route("a", (a, 10_000), paths=paths)
    await stack.publish(make_route("a", (a, 10_000)), had)
    # The two routes come one after the other, in any order.
    await stack.router.publish([gets, had])
    await stack.until(lambda: stack.router.status(gets.key).rejected is not None, "the second claim's refusal")
    for path, version in (("/v2/models/a/infer", "a"), ("/v2/models/b/infer", "b"), ("/api/v1/predict", "b")):
        assert (await stack.ask(path)).version == version
    await stack.publish(gets, make_route("b", (b, 10_000)))
    for path, version in (("/v2/models/a/infer", "a"), ("/v2/models/b/infer", "b"), ("/api/v1/predict", "a")):
        assert (await stack.ask(path)).version == version


async def test_no_other_path_is_the_models(stack: Any, upstream: Start, make_route: Any) -> None:
    await stack.publish(make_route("credit", (await upstream("v"), 10_000), paths=Paths("/api/v1/predict")))
    for path in ("/api/v1/predict/", "/api/v1/predict2", "/api/v1", "/api/v1/health", "/docs"):
        assert (await stack.ask(path)).status == 404
    assert (await stack.ask("/api//v1/./predict")).version == "v"


async def test_requests_are_copied_selected_and_drawn_as_those_for_the_long_path(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    old, new = await upstream("old"), await upstream("new")
    route = make_route(
        "credit", (new, 0), (old, 10_000), paths=PATHS, mirror=Mirror("new", 10_000), sticky_header="x-user"
    )
    await stack.publish(route)
    assert (await stack.ask("/api/v1/predict", b'{"age":1}', {"x-user": "u"})).version == "old"
    await stack.until(lambda: bool(new.heads), "the copy of the request")
    assert asked(new) == ["POST /api/v1/models/credit/predict"]
    assert "tidegate-mirror: 1" in new.heads[0]

    young = Selection("new", ((Condition(feature=("age",), high=30.0),),))
    await stack.publish(make_route("credit", (new, 0), (old, 10_000), paths=PATHS, selection=young))
    assert (await stack.ask("/api/v1/predict", b'{"age":29}')).version == "new"
    assert (await stack.ask("/api/v1/predict", b'{"age":30}')).version == "old"


async def test_a_replica_that_dies_is_replaced_in_the_middle_of_a_request(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    async def close(_: Any) -> None:
        return None

    dying, living = await upstream("v", answer=close), await upstream("v")
    await stack.publish(make_route("credit", ((dying, living), 10_000), paths=PATHS))
    while not dying.heads:
        assert (await stack.ask("/api/v1/predict")).status == 200
    assert set(asked(dying)) | set(asked(living)) == {"POST /api/v1/models/credit/predict"}


async def test_a_body_beyond_the_limit_is_refused_and_a_model_without_versions_is_not_ready(
    stack: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("credit", (replica, 10_000), paths=PATHS, max_body_bytes=10))
    assert (await stack.ask("/api/v1/predict", b"x" * 11)).status == 413
    await stack.publish(make_route("credit", (replica, 0), paths=PATHS))
    for path, line in LONG.items():
        answer = await stack.ask(path, b"{}" if line.startswith("POST") else None)
        assert (answer.status, answer.error["code"]) == (503, "model_not_ready")
