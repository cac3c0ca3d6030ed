"""What a node keeps of models: within a budget, shared by processes, and nothing under somebody who uses it."""

import hashlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving.artifacts.cache import Cache, size_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


def add(cache, content, used=None):
    with cache.incoming() as folder:
        path = folder / "entry" / "model.bin"
        path.parent.mkdir()
        path.write_bytes(content)
        entry = cache.keep(path, hashlib.sha256(content).hexdigest())
    if used is not None:
        os.utime(entry.path.parent, (used, used))
    return entry


def names(root):
    return {path.name for path in root.iterdir() if path.is_dir()}


def test_what_was_not_used_for_the_longest_time_goes_first(root):
    cache = Cache(root, budget=3000)
    entries = [add(cache, bytes([number]) * 1000, used=number) for number in (3, 1, 2)]
    for entry in entries:
        entry.release()
    found = cache.find(entries[1].sha256)
    assert found is not None
    found.release()
    add(cache, b"x" * 1000).release()
    assert cache.find(entries[2].sha256) is None, "used at 2"
    assert {entries[0].sha256, entries[1].sha256} <= names(root)


def test_what_somebody_uses_stays_even_beyond_the_budget(root, caplog):
    cache = Cache(root, budget=2500)
    with caplog.at_level(logging.WARNING):
        entries = [add(cache, bytes([number]) * 1000, used=number) for number in range(4)]
    assert names(root) == {entry.sha256 for entry in entries}
    assert "take 500 bytes more than the cache" in caplog.text
    entries[0].release()
    entries[2].release()
    add(cache, b"x" * 1000)
    assert {entries[1].sha256, entries[3].sha256} <= names(root)
    assert not {entries[0].sha256, entries[2].sha256} & names(root)


def test_another_process_that_uses_an_entry_keeps_it_until_it_dies(root):
    cache = Cache(root, budget=1500)
    entry = add(cache, b"a" * 1000)
    entry.release()
    program = (
        "import sys, time; from pathlib import Path; from serving.artifacts.cache import Cache; "
        "Cache(Path(sys.argv[1]), 0).find(sys.argv[2]); print('held', flush=True); time.sleep(600)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(root), entry.sha256], env=environ, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            add(cache, b"b" * 1000).release()
            assert entry.path.read_bytes() == b"a" * 1000
        finally:
            other.kill()
    add(cache, b"c" * 1000).release()
    assert entry.sha256 not in names(root)


def test_what_a_killed_process_left_is_cleared_away_and_what_is_under_way_is_not(root):
    cache = Cache(root, budget=10_000)
    root.mkdir()
    (root / ".incoming-dead").mkdir()
    (root / ".incoming-dead" / "half").write_bytes(b"half of a model")
    (root / ".gone-dead").mkdir()
    with cache.incoming() as folder:
        (folder / "half").write_bytes(b"half of another")
        entry = add(cache, b"whole")
        assert names(root) == {entry.sha256, folder.name}
        assert (folder / "half").read_bytes() == b"half of another"
    assert names(root) == {entry.sha256}


def test_a_damaged_entry_that_somebody_uses_is_replaced_and_stays_theirs(root):
    cache = Cache(root, budget=10_000)
    entry = add(cache, b"model")
    with entry.path.open("rb") as theirs:
        entry.path.write_bytes(b"rotten")
        assert cache.find(entry.sha256) is None
        again = add(cache, b"model")
        assert again.path.read_bytes() == b"model"
        assert theirs.read() == b"rotten"
    found = cache.find(entry.sha256)
    assert found is not None
    assert found.path == again.path


def test_many_at_once_on_a_small_cache_always_have_what_they_hold(root):
    """Each keeps and finds models while the others push them out."""
    cache = Cache(root, budget=3000)
    contents = [bytes([number]) * 1000 for number in range(6)]
    wrong = []

    def work(seed):
        for turn in range(25):
            content = contents[(seed * 7 + turn * 5) % len(contents)]
            entry = cache.find(hashlib.sha256(content).hexdigest()) or add(cache, content)
            if entry.path.read_bytes() != content:
                wrong.append(entry)
            entry.release()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    add(cache, b"last").release()
    assert size_of(root) <= 3000
    assert not [name for name in names(root) if name.startswith(".")]


def test_those_who_want_the_same_content_wait_for_each_other(root):
    cache = Cache(root, budget=3000)
    order = []
    first = threading.Event()

    def second():
        first.wait()
        with cache.alone("a" * 64):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with cache.alone("a" * 64):
        first.set()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
