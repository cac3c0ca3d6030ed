"""Batchers of several models that share their threads."""

import asyncio
import threading

import numpy as np
import pytest

from serving.batching import Batcher, Job, Worker
from serving.runtimes import OutputSpec, Signature
from serving.spec import InputSpec


class Held:
    """Answers each row with its sum, when `gate` is open."""

    signature = Signature("test", None, (), InputSpec("x"), (OutputSpec("predict", "FP64", (-1,)),))

    def __init__(self):
        self.gate, self.entered = threading.Event(), threading.Event()
        self.threads = []

    def predict(self, rows, outputs):
        self.threads.append(threading.current_thread())
        self.entered.set()
        assert self.gate.wait(30)
        return {name: rows.sum(axis=1) for name in outputs}


def submit(batcher):
    future = asyncio.get_running_loop().create_future()
    batcher.submit(Job(np.ones((1, 2)), ("predict",), future.set_result))
    return future


@pytest.fixture
async def worker():
    found = Worker(asyncio.get_running_loop(), threads=2)
    yield found
    found.close()


async def test_calls_of_two_models_go_on_at_once_and_say_since_when(worker):
    loop = asyncio.get_running_loop()
    models = [Held(), Held()]
    batchers = [Batcher(model, 8, 8, loop, worker=worker) for model in models]
    assert worker.busy_since is None
    answers = [submit(batcher) for batcher in batchers]
    for model in models:
        assert await asyncio.to_thread(model.entered.wait, 30)
    assert worker.busy_since is not None
    for model in models:
        model.gate.set()
    assert [(await answer)["predict"].tolist() for answer in answers] == [[2.0], [2.0]]
    assert worker.busy_since is None


async def test_a_batcher_that_is_closed_leaves_the_shared_threads_to_the_others(worker):
    loop = asyncio.get_running_loop()
    one, other = Held(), Held()
    other.gate.set()
    Batcher(one, 8, 8, loop, worker=worker).close()
    assert (await submit(Batcher(other, 8, 8, loop, worker=worker)))["predict"].tolist() == [2.0]


async def test_a_model_that_is_known_to_be_fast_runs_on_the_loops_thread_from_the_first_call_on(worker):
    loop = asyncio.get_running_loop()
    fast, slow = Held(), Held()
    fast.gate.set()
    slow.gate.set()
    await submit(Batcher(fast, 8, 8, loop, worker=worker, took=0.0001))
    await submit(Batcher(slow, 8, 8, loop, worker=worker, took=0.1))
    assert fast.threads == [threading.current_thread()]
    assert slow.threads != [threading.current_thread()]
