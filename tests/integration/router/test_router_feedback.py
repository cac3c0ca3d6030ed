"""Feedback on its way to the monitor, through a real Envoy."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from router.config import Address

Start = Callable[..., Awaitable[Any]]
PATH = "/api/v1/models/m/feedback"
BODY = b'{"request_id":"a","label":1}'


@pytest.fixture
async def monitor(upstream: Start) -> Any:
    return await upstream("monitor")


@pytest.fixture
async def monitored(monitor: Any, start_stack: Any) -> AsyncIterator[Any]:
    """A router that knows the monitor, by a name that has to be looked up."""
    async with start_stack(monitor=Address("localhost", monitor.port)) as stack:
        yield stack


async def test_feedback_reaches_the_monitor_with_the_route_that_it_is_about(
    monitored: Any, monitor: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v")
    await monitored.publish(make_route("m", (replica, 10_000)), make_route("n", (replica, 0)))
    forged = {"tidegate-route": "other/model", "tidegate-key": "forged", "x-request-id": "id"}
    assert (await monitored.ask(PATH, BODY, forged)).version == "monitor"
    # About a model that has no replica at the moment as well.
    assert (await monitored.ask("/api/v1/models/n/feedback", BODY)).version == "monitor"
    first, second = monitor.heads
    assert first.startswith(f"POST {PATH} HTTP/1.1\r\n")
    assert "tidegate-route: default/m\r\n" in first
    assert "x-request-id: id\r\n" in first
    assert "forged" not in first
    assert "other/model" not in first
    assert "tidegate-route: default/n\r\n" in second
    assert replica.heads == []


async def test_feedback_for_one_host_is_about_the_model_there(
    monitored: Any, monitor: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v")
    await monitored.publish(make_route("m", (replica, 10_000), hosts=("a.test",)))
    assert (await monitored.ask(PATH, BODY, {"host": "a.test"})).status == 200
    assert (await monitored.ask(PATH, BODY, {"host": "b.test"})).error["code"] == "not_found"
    assert len(monitor.heads) == 1


async def test_feedback_is_posted(monitored: Any, monitor: Any, make_route: Any) -> None:
    await monitored.publish(make_route("m"))
    for method in ("GET", "PUT", "DELETE"):
        answer = await monitored.ask(PATH, BODY, method=method)
        assert (answer.status, answer.headers["allow"], answer.error["code"]) == (405, "POST", "method_not_allowed")
    assert monitor.heads == []


async def test_feedback_has_a_limit_of_its_own(monitored: Any, monitor: Any, make_route: Any) -> None:
    await monitored.publish(make_route("m", max_body_bytes=10))
    assert (await monitored.ask(PATH, b"a" * (1 << 20))).status == 200
    answer = await monitored.ask(PATH, b"a" * ((1 << 20) + 1))
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


async def test_feedback_about_an_unknown_model_is_refused(monitored: Any, monitor: Any, make_route: Any) -> None:
    await monitored.publish(make_route("m"))
    answer = await monitored.ask("/api/v1/models/unknown/feedback", BODY)
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert monitor.heads == []


async def test_a_monitor_that_is_gone_is_named_in_the_answer(monitored: Any, monitor: Any, make_route: Any) -> None:
    await monitored.publish(make_route("m"))
    await monitor.kill()
    answer = await monitored.ask(PATH, BODY)
    assert (answer.status, answer.error["code"]) == (503, "monitor_unavailable")
    assert answer.error["request_id"] == answer.headers["x-request-id"]


async def test_feedback_that_may_have_been_recorded_is_not_sent_again(
    monitored: Any, monitor: Any, make_route: Any
) -> None:
    async def lose(_: Any) -> None:
        return None

    await monitored.publish(make_route("m"))
    monitor.answer = lose
    answer = await monitored.ask(PATH, BODY)
    assert (answer.status, answer.error["code"]) == (503, "monitor_unavailable")
    assert len(monitor.heads) == 1


async def test_a_name_that_nobody_knows_costs_only_the_feedback(
    start_stack: Any, upstream: Start, make_route: Any
) -> None:
    replica = await upstream("v")
    async with start_stack(monitor=Address("monitor.invalid", 80)) as stack:
        await stack.publish(make_route("m", (replica, 10_000)))
        assert (await stack.ask("/v2/models/m/infer")).version == "v"
        answer = await stack.ask(PATH, BODY)
        assert (answer.status, answer.error["code"]) == (503, "monitor_unavailable")


async def test_without_a_monitor_the_answer_says_so(stack: Any, upstream: Start, make_route: Any) -> None:
    replica = await upstream("v")
    await stack.publish(make_route("m", (replica, 10_000)))
    answer = await stack.ask(PATH, BODY)
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert "without one (TIDEGATE_MONITOR_ADDRESS)" in answer.error["error"]
    assert replica.heads == []
