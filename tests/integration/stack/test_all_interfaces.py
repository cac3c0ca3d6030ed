"""`tidegate up` keeps to this machine unless it is told otherwise: a container must answer others."""

import httpx
import pytest
from stackkit import healthy


def answer_on_another_address(stack) -> httpx.Response:
    return httpx.get(f"http://127.0.0.2:{stack.port}/v2/models/iris", trust_env=False)


def test_only_the_loopback_address_is_answered(stack) -> None:
    with pytest.raises(httpx.ConnectError):
        answer_on_another_address(stack)


def test_every_address_is_answered_if_that_was_asked_for(new_stack) -> None:
    stack = new_stack()
    stack.start(stack.manifest("iris", "iris-1"), "--all-interfaces")
    stack.until("iris", healthy)
    assert answer_on_another_address(stack).status_code == 200
