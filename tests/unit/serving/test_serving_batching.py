"""Which requests share a call, who gets which rows back, and where the model runs."""

import asyncio
import threading

import numpy as np
import pytest

from serving.batching import Batcher, Job
from serving.errors import BadPrediction, ModelCallError, QueueFull, RequestError
from serving.runtimes import OutputSpec, Signature, Tensors
from serving.spec import InputSpec


class Recorder:
    """Answers each row with its sum, and remembers its calls. Raises on a negative value."""

    signature = Signature("test", None, (), InputSpec("x"), (OutputSpec("predict", "FP64", (-1,)),))

    def __init__(self, *, answer=lambda rows: rows.sum(axis=1)):
        self.calls: list[int] = []
        self.threads: list[threading.Thread] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._answer = answer

    def predict(self, rows, outputs):
        self.calls.append(len(rows))
        self.threads.append(threading.current_thread())
        self.entered.set()
        assert self.gate.wait(10)
        if (rows < 0).any():
            raise ValueError("negative")
        return {name: self._answer(rows) for name in outputs}


def submit(batcher, rows, outputs=("predict",)):
    """Submit rows; the future gets what is delivered."""
    future = asyncio.get_running_loop().create_future()
    job = Job(np.asarray(rows, float), outputs, future.set_result)
    batcher.submit(job)
    return job, future


@pytest.fixture
async def make_batcher():
    made = []

    async def make(model, max_batch=8, max_queue=100, *, measured=True):
        batcher = Batcher(model, max_batch, max_queue, asyncio.get_running_loop())
        made.append(batcher)
        if measured:
            await submit(batcher, [[0.0]])[1]
            model.calls.clear()
            model.threads.clear()
            model.entered.clear()
        return batcher

    yield make
    for batcher in made:
        batcher.close()


async def test_what_arrives_in_one_turn_shares_one_call_and_gets_its_own_rows(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model)
    futures = [submit(batcher, rows)[1] for rows in ([[1]], [[2], [3]], [[4]])]
    answers = [outcome["predict"].tolist() for outcome in await asyncio.gather(*futures)]
    assert (answers, model.calls) == ([[1], [2, 3], [4]], [4])


async def test_a_call_holds_no_more_rows_than_a_batch(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model)
    await asyncio.gather(*(submit(batcher, [[1], [2], [3]])[1] for _ in range(5)))
    assert model.calls == [6, 6, 3]


async def test_a_request_larger_than_a_batch_is_cut_and_put_together_again(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model)
    outcome = await submit(batcher, [[value] for value in range(20)])[1]
    assert outcome["predict"].tolist() == list(range(20))
    assert model.calls == [8, 8, 4]


async def test_only_equal_kinds_share_a_call_and_none_loses_its_place(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model)
    kinds = [([[1]], ("predict",)), ([[2, 2]], ("predict",)), ([[3]], ("predict", "other")), ([[4]], ("predict",))]
    futures = [submit(batcher, rows, outputs)[1] for rows, outputs in kinds]
    answers = [outcome["predict"].tolist() for outcome in await asyncio.gather(*futures)]
    assert (answers, model.calls) == ([[1], [4], [3], [4]], [2, 1, 1])


async def test_one_bad_request_harms_nobody_else(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model)
    good, bad, other = await asyncio.gather(*(submit(batcher, rows)[1] for rows in ([[1]], [[-1]], [[2]])))
    assert (good["predict"].tolist(), other["predict"].tolist()) == ([1], [2])
    assert isinstance(bad, ModelCallError)
    assert (bad.status, bad.code, str(bad)) == (500, "model_error", "the model raised ValueError: negative")


async def test_a_model_that_always_raises_is_logged_with_its_traceback_but_not_each_time(make_batcher, caplog):
    batcher = await make_batcher(Recorder())
    for _ in range(20):
        await submit(batcher, [[-1]])[1]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "ValueError: negative" in errors[0].exc_text


async def test_a_model_that_exits_fails_its_request_only(make_batcher):
    def leave(rows):
        if rows[0, 0] == 7:
            raise SystemExit(3)
        return rows[:, 0]

    batcher = await make_batcher(Recorder(answer=leave))
    failed = await submit(batcher, [[7]])[1]
    assert "SystemExit" in str(failed)
    assert (await submit(batcher, [[1]])[1])["predict"].tolist() == [1]


async def test_an_answer_with_other_than_one_entry_per_row_reaches_nobody(make_batcher):
    batcher = await make_batcher(Recorder(answer=lambda rows: np.zeros(1)))
    outcomes = await asyncio.gather(*(submit(batcher, [[1], [2]])[1] for _ in range(2)))
    assert all(isinstance(outcome, ModelCallError) and BadPrediction.__name__ in str(outcome) for outcome in outcomes)


async def test_a_quick_model_runs_on_the_loops_thread_once_it_is_measured(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model, measured=False)
    await submit(batcher, [[1]])[1]
    assert model.threads[0] is not threading.current_thread()
    for _ in range(100):  # on a busy machine a call that does nothing may look slow for a while
        if threading.current_thread() in model.threads:
            break
        await submit(batcher, [[1]])[1]
    assert model.threads[-1] is threading.current_thread()


async def test_a_slow_model_leaves_the_loop_free_and_gathers_what_arrives_meanwhile(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model, measured=False)
    model.gate.clear()
    first = submit(batcher, [[1]])[1]
    await asyncio.to_thread(model.entered.wait)
    later = [submit(batcher, [[value]])[1] for value in (2, 3, 4)]
    assert (batcher.waiting, batcher.busy_since is not None) == (3, True)
    model.gate.set()
    await asyncio.gather(first, *later)
    assert model.calls == [1, 3]


async def test_beyond_the_queue_requests_are_refused(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model, max_queue=2)
    futures = [submit(batcher, [[1]])[1] for _ in range(2)]
    with pytest.raises(QueueFull) as caught:
        submit(batcher, [[1]])
    assert (caught.value.status, caught.value.code, caught.value.headers) == (503, "queue_full", b"retry-after: 1\r\n")
    await asyncio.gather(*futures)


async def test_the_abandoned_make_room_and_cost_no_call(make_batcher):
    model = Recorder()
    batcher = await make_batcher(model, max_queue=2)
    abandoned = [submit(batcher, [[1]]) for _ in range(2)]
    for job, _ in abandoned:
        job.abandon()
    outcome = await submit(batcher, [[5]])[1]
    assert (outcome["predict"].tolist(), model.calls) == ([5], [1])
    assert not any(future.done() for _, future in abandoned)


class TensorModel(Recorder):
    """Adds up the rows of its tensors `a` and `b`, and writes into them afterwards. Refuses a row with 99."""

    def __init__(self, *, joint=True):
        super().__init__()
        self.signature = Signature(
            "test", None, (), InputSpec("x"), self.signature.outputs, any_tensors=True, joint=joint
        )
        self.asked: list[Tensors] = []

    def predict(self, tensors, outputs):
        self.calls.append(len(tensors))
        self.asked.append(tensors)
        a, b = tensors.arrays["a"], tensors.arrays["b"]
        if (a == 99).any():
            raise RequestError(400, "too_old", "99 is too much")
        total = a.sum(axis=1) + b
        a[:] = b[:] = 0
        return dict.fromkeys(outputs, total)


def pair(*rows, kind=float, width=2, **more):
    """Tensors of rows that begin with these numbers."""
    a = np.zeros((len(rows), width), kind)
    a[:, 0] = rows
    return Tensors({"a": a, "b": np.ones(len(rows))}, **more)


def submit_tensors(batcher, tensors, outputs=("predict",)):
    future = asyncio.get_running_loop().create_future()
    batcher.submit(Job(tensors, outputs, future.set_result))
    return future


async def test_tensors_share_a_call_and_get_their_own_rows(make_batcher):
    model = TensorModel()
    batcher = await make_batcher(model, measured=False)
    asked = [pair(1), pair(2, 3), pair(4)]
    answers = await asyncio.gather(*(submit_tensors(batcher, tensors) for tensors in asked))
    assert [answer["predict"].tolist() for answer in answers] == [[2], [3, 4], [5]]
    assert model.calls == [4]
    assert [tensors.arrays["a"][:, 0].tolist() for tensors in asked] == [[1], [2, 3], [4]]


async def test_tensors_of_another_datatype_shape_or_order_have_calls_of_their_own_or_share_them(make_batcher):
    model = TensorModel()
    batcher = await make_batcher(model, measured=False)
    turned = Tensors(dict(reversed(pair(7).arrays.items())))
    asked = [pair(1), pair(2, kind=int), pair(3, width=3), turned]
    answers = await asyncio.gather(*(submit_tensors(batcher, tensors) for tensors in asked))
    assert [answer["predict"].tolist() for answer in answers] == [[2], [3], [4], [8]]
    assert model.calls == [2, 1, 1]


async def test_tensors_of_more_rows_than_a_batch_are_cut_and_what_was_sent_stays_as_it_is(make_batcher):
    model = TensorModel()
    batcher = await make_batcher(model, measured=False)
    sent = pair(*range(20))
    answer = await submit_tensors(batcher, sent)
    assert answer["predict"].tolist() == list(range(1, 21))
    assert (model.calls, sent.arrays["a"][:, 0].tolist()) == ([8, 8, 4], list(range(20)))


async def test_a_model_that_is_not_joint_gets_each_request_alone_and_whole(make_batcher):
    model = TensorModel(joint=False)
    batcher = await make_batcher(model, measured=False)
    asked = [pair(*range(20), id="7", parameters={"x": 1}), pair(1), pair(2, input_parameters={"a": {"y": 2}})]
    answers = await asyncio.gather(*(submit_tensors(batcher, tensors) for tensors in asked))
    assert [len(answer["predict"]) for answer in answers] == [20, 1, 1]
    assert model.calls == [20, 1, 1]
    assert [(each.id, each.parameters, each.input_parameters) for each in model.asked] == [
        ("7", {"x": 1}, {}),
        (None, {}, {}),
        (None, {}, {"a": {"y": 2}}),
    ]


async def test_a_table_for_a_model_that_is_not_joint_is_not_cut_either(make_batcher):
    model = Recorder()
    model.signature = Signature("test", None, (), InputSpec("x"), model.signature.outputs, joint=False)
    batcher = await make_batcher(model)
    await asyncio.gather(submit(batcher, [[1]] * 20)[1], submit(batcher, [[2]])[1])
    assert model.calls == [20, 1]


async def test_outputs_of_any_length_are_those_of_a_whole_request_but_they_must_be_arrays(make_batcher):
    model = Recorder(answer=lambda rows: np.zeros(7))
    model.signature = Signature("test", None, (), InputSpec("x"), (), any_tensors=True, joint=False)
    batcher = await make_batcher(model)
    assert len((await submit(batcher, [[1]])[1])["predict"]) == 7
    model._answer = lambda rows: [1]
    outcome = await submit(batcher, [[1]])[1]
    assert isinstance(outcome, ModelCallError)
    assert "output predict is no array but a list" in str(outcome)


async def test_what_a_model_says_of_a_request_is_the_answer_of_that_request_only(make_batcher):
    model = TensorModel()
    batcher = await make_batcher(model, measured=False)
    good, bad = await asyncio.gather(submit_tensors(batcher, pair(1)), submit_tensors(batcher, pair(99)))
    assert good["predict"].tolist() == [2]
    assert (type(bad), bad.status, bad.code) == (RequestError, 400, "too_old")


async def test_ten_thousand_requests_of_three_kinds_at_once_each_get_their_own_answer(make_batcher):
    model = TensorModel()
    batcher = await make_batcher(model, max_batch=64, max_queue=10_000, measured=False)
    kinds = ({}, {"kind": int}, {"width": 3})
    asked = [(n, submit_tensors(batcher, pair(*[100 + n] * (1 + n % 4), **kinds[n % 3]))) for n in range(10_000)]
    answers = await asyncio.gather(*(future for _, future in asked))
    assert [answer["predict"].tolist() for answer in answers] == [[101 + n] * (1 + n % 4) for n, _ in asked]
    assert max(model.calls) == 64
