"""`tidegate up` as a user meets it: it starts, ends, comes back as it was, and says why when it cannot start."""

import asyncio
import socket
import time

from processes import inheriting
from stackkit import DEADLINE, Stack, healthy

from benchmarks.client import answering, burst, infer_body, post


async def test_ctrl_c_leaves_no_process_behind_and_the_next_start_goes_on_from_the_same_status(new_stack) -> None:
    stack = new_stack()
    stack.start(stack.manifest("iris", "iris-1"))
    stack.until("iris", healthy)
    stack.apply("iris", "iris-2", strategy={"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}})
    before = stack.until("iris", lambda status: status["phase"] == "Paused")
    assert stack.stop() == 0
    assert inheriting("TIDEGATE_HOME", str(stack.home)) == []

    # The manifest given to `up` did not change since, so what was applied after it still holds.
    stack.start(stack.home / "iris-iris-1.yaml")
    question = post("/v2/models/iris/infer", infer_body([[5.1, 3.5, 1.4, 0.2]]))
    await answering(stack.port, question, 120)
    after = stack.until("iris", lambda status: status["phase"] == "Paused" and status["candidate"].get("ready"))
    for field in ("stable", "step", "weight", "revisions"):
        assert after[field] == before[field]
    assert after["candidate"]["id"] == before["candidate"]["id"]
    both = {after["stable"]["id"], after["candidate"]["id"]}
    async with asyncio.timeout(120):  # the version that is ready first answers alone for a moment
        while set((await burst(stack.port, [question] * 100))[0].versions) != both:
            pass
    assert stack.stop() == 0
    assert inheriting("TIDEGATE_HOME", str(stack.home)) == []


def refused(stack, **environment: str) -> str:
    """What `up` says when it does not start; nothing may be left running."""
    stack.environment |= environment
    done = stack.cli("up", str(stack.manifest("iris", "iris-1")), "--port", str(stack.port), check=False)
    assert done.returncode == 1, done
    assert inheriting("TIDEGATE_HOME", str(stack.home)) == []
    return " ".join(done.stderr.split())


def test_a_port_in_use_is_named_with_the_way_out(new_stack) -> None:
    stack = new_stack()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", stack.port))
        holder.listen()
        said = refused(stack)
    assert f"port {stack.port} of 127.0.0.1 cannot be used" in said
    assert "--port" in said


def test_a_missing_envoy_is_named_with_the_way_out(new_stack) -> None:
    said = refused(new_stack(), TIDEGATE_ENVOY="/nowhere/envoy")
    assert "/nowhere/envoy" in said


def test_a_manifest_with_an_unknown_field_is_refused_before_anything_starts(new_stack) -> None:
    stack = new_stack()
    said = refused_with(stack, replica=3)
    assert "spec.replica" in said


def refused_with(stack, **spec: object) -> str:
    stack.manifest = lambda name, model, original=stack.manifest: original(name, model, **spec)
    return refused(stack)


def test_of_two_that_start_at_once_on_one_folder_exactly_one_runs_and_is_not_harmed(new_stack) -> None:
    one = new_stack()
    other = new_stack(one.home)
    manifest = one.manifest("iris", "iris-1")
    for last in (False, False, False, True):
        for stack in (one, other):
            stack.start(manifest)
        loser, winner = first_to_end(one, other)
        assert loser.process.returncode == 1
        if last:
            winner.until("iris", healthy)
        assert winner.stop() == 0
        assert inheriting("TIDEGATE_HOME", str(one.home)) == []
    assert (one.home / "up.log").read_text().count("Tidegate already runs on") == 4


def first_to_end(one, other) -> tuple[Stack, Stack]:
    """The stack whose process ends first, and the other one."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        for stack, beside in ((one, other), (other, one)):
            if stack.process.poll() is not None:
                return stack, beside
        time.sleep(0.02)
    raise AssertionError("both run")
