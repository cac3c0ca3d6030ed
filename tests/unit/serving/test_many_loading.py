"""One load after the other, each given up when it does not end."""

import asyncio
import threading

import pytest

from serving.errors import ModelLoadError, UnloadableModel
from serving.many.loading import Loaded, Loader, resident_bytes
from serving.runtimes import Signature
from serving.spec import InputSpec


class Named:
    """A model that takes text, of which no call is known."""

    signature = Signature("test", 1, (InputSpec("x", "BYTES"),), InputSpec("x"), ())

    def __init__(self, name):
        self.name = name


class Site:
    """Names load at once, but those that begin with "held", which wait for `gate`, and with "bad", which fail."""

    def __init__(self, seconds=30.0):
        self.gate = threading.Event()
        self.begun, self.done = [], asyncio.Queue()
        self.left = threading.Event()
        self.at_once = self.most_at_once = 0
        loop = asyncio.get_running_loop()
        self.loader = Loader(loop, self._load, self.begun.append, lambda *found: self.done.put_nowait(found), seconds)

    def _load(self, name):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if name.startswith("held"):
                assert self.gate.wait(30)
            if name.startswith("bad"):
                raise UnloadableModel("no model")
            if name.startswith("mad"):
                raise SystemExit(3)
            return Named(name)
        finally:
            self.at_once -= 1
            self.left.set()

    async def next(self):
        return await asyncio.wait_for(self.done.get(), 30)


async def test_members_are_loaded_one_at_a_time_in_the_order_in_which_they_were_asked_for():
    site = Site()
    for name in ("held", "a", "b"):
        site.loader.ask(name)
    assert site.begun == ["held"]
    site.gate.set()
    found = [await site.next() for _ in range(3)]
    assert [name for name, _ in found] == ["held", "a", "b"] == site.begun
    assert all(isinstance(each, Loaded) and each.model.name == name for name, each in found)
    assert site.most_at_once == 1


@pytest.mark.parametrize(("name", "words"), [("bad", "no model"), ("mad", "loading it raised SystemExit: 3")])
async def test_a_load_that_fails_is_told_and_the_next_goes_on(name, words):
    site = Site()
    site.loader.ask(name)
    site.loader.ask("a")
    failed, error = await site.next()
    assert (failed, str(error)) == (name, words)
    assert isinstance(error, ModelLoadError)
    assert (await site.next())[0] == "a"


async def test_a_load_that_does_not_end_is_given_up_and_what_it_finds_later_is_not_wanted():
    site = Site(seconds=0.05)
    site.loader.ask("held")
    site.loader.ask("a")
    name, error = await site.next()
    assert (name, str(error)) == ("held", "loading it took more than 0.05 seconds, and was given up")
    name, _ = await site.next()
    assert name == "a"
    site.left.clear()
    site.gate.set()
    assert await asyncio.to_thread(site.left.wait, 30)
    site.loader.ask("b")
    assert (await site.next())[0] == "b"
    assert site.done.empty()


async def test_what_has_not_begun_can_be_withdrawn():
    site = Site()
    for name in ("held", "a", "b"):
        site.loader.ask(name)
    assert site.loader.withdraw("a")
    assert not site.loader.withdraw("held"), "it has begun"
    assert not site.loader.withdraw("z")
    site.gate.set()
    assert [(await site.next())[0] for _ in range(2)] == ["held", "b"]


def test_the_memory_of_this_process_is_known():
    assert resident_bytes() > 1 << 20
