"""`tidegate up` as a user meets it: it starts, ends, comes back as it was, and says why when it cannot start."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.client import answering, burst, infer_body, post

TIDEGATE = Path(sys.executable).with_name("tidegate")


def processes_of(home: str) -> list[psutil.Process]:
    """Every process that inherited this state folder in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TIDEGATE_HOME") == home:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_ctrl_c_leaves_no_process_behind_and_the_next_start_goes_on_from_the_same_status(new_stack) -> None:
    stack = new_stack()
    stack.start(stack.manifest("iris", "iris-1"))
    stack.until("iris", lambda status: status.get("phase") == "Healthy", 120)
    stack.apply("iris", "iris-2", strategy={"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}})
    before = stack.until("iris", lambda status: status["phase"] == "Paused")
    assert stack.stop() == 0
    assert processes_of(str(stack.home)) == []

    # The manifest given to `up` did not change since, so what was applied after it still holds.
    stack.start(stack.home / "iris-iris-1.yaml")
    question = post("/v2/models/iris/infer", infer_body([[5.1, 3.5, 1.4, 0.2]]))
    await answering(stack.port, question, 120)
    after = stack.until("iris", lambda status: status["phase"] == "Paused" and status["candidate"].get("ready"))
    for field in ("stable", "step", "weight", "revisions"):
        assert after[field] == before[field]
    assert after["candidate"]["revision"] == before["candidate"]["revision"]
    both = {after["stable"]["id"], after["candidate"]["revision"]["id"]}
    async with asyncio.timeout(60):  # the version that is ready first answers alone for a moment
        while set((await burst(stack.port, [question] * 100))[0].versions) != both:
            pass
    assert stack.stop() == 0
    assert processes_of(str(stack.home)) == []


def refused(stack, **environment: str) -> str:
    """What `up` says when it does not start; nothing may be left running."""
    command = [str(part) for part in (TIDEGATE, "up", stack.manifest("iris", "iris-1"), "--port", stack.port)]
    done = subprocess.run(
        command, env=stack.environment | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done
    assert processes_of(str(stack.home)) == []
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
