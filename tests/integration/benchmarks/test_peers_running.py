"""Starting, asking and stopping a server as a contender is: real processes on this machine."""

import asyncio
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from benchmarks.client import burst
from benchmarks.peers.contenders import Contender, Packages
from benchmarks.peers.exchange import V2
from benchmarks.peers.running import ContenderFailed, Run, Usage, WrongAnswer, check, ready, started

ROWS = [[float(number), 0.0] for number in range(70)]
LABELS = [number % 3 for number in range(70)]

# Answers with a row's first value modulo 3. A child with a session of its own ignores SIGTERM, as some of Ray's would.
SERVER = """
import http.server, json, subprocess, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        tensor = json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"][0]
        width = tensor["shape"][1]
        labels = [int(value) % MODULUS for value in tensor["data"][::width]]
        body = json.dumps({"outputs": [{"data": labels}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def contender(source: str) -> Contender:
    return Contender(
        "peer", Packages("peer", ("peer==1.0",)), "$python server.py $port", "", files={"server.py": source}
    )


def start(source: str) -> AbstractContextManager[Run]:
    return started(contender(source), Path(sys.executable), Path("iris.joblib"))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM is killed soon."""
    monkeypatch.setattr("benchmarks.peers.running.STOP_TIMEOUT_SECONDS", 2.0)


async def test_a_right_contender_is_ready_and_all_of_its_answers_are_compared() -> None:
    with start(SERVER.replace("MODULUS", "3")) as run:
        assert await ready(run, ROWS[:1]) > 0
        assert await check(run, ROWS, LABELS) == len(ROWS) + 2


async def test_one_wrong_label_is_found() -> None:
    with start(SERVER.replace("MODULUS", "3")) as run:
        await ready(run, ROWS[:1])
        with pytest.raises(WrongAnswer, match="the model says"):
            await check(run, ROWS, [*LABELS[:-1], 9])


async def test_a_contender_that_ends_is_said_with_what_it_printed() -> None:
    ends = pytest.raises(ContenderFailed, match=r"peer ended with 1:\nno such model")
    with start("raise SystemExit('no such model')") as run, ends:
        await ready(run, ROWS[:1])


async def test_a_contender_that_never_answers_is_given_up() -> None:
    is_late = pytest.raises(ContenderFailed, match="not ready after 1 s")
    with start("input()") as run, is_late:
        await ready(run, ROWS[:1], 1.0)


async def test_an_answer_of_another_status_is_not_ready_and_is_said() -> None:
    refusing = SERVER.replace("MODULUS", "3").replace("send_response(200)", "send_response(503)")
    is_late = pytest.raises(ContenderFailed, match=r"not ready after \d+ s \(503 ")
    with start(refusing) as run, is_late:
        while not (await burst(run.port, [V2.request(ROWS[:1])], connections=1))[0].answered:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.1)
        await ready(run, ROWS[:1], time.perf_counter() - run.began + 2.0)


def test_a_program_that_is_not_there_is_said() -> None:
    missing = Contender("peer", Packages("peer", ("peer==1.0",)), "$folder/nowhere $port", "")
    cannot = pytest.raises(ContenderFailed, match=r"peer could not be started: .*nowhere")
    with cannot, started(missing, Path(sys.executable), Path("iris.joblib")):
        pass


async def test_its_processes_are_found_counted_and_stopped_even_in_sessions_of_their_own() -> None:
    with start(SERVER.replace("MODULUS", "3")) as run:
        await ready(run, ROWS[:1])
        processes = run.processes()
        assert len(processes) == 2
        usage = run.usage()
        assert usage.processes == 2
        assert usage.cpu_seconds > 0
        assert 0 < usage.proportional <= usage.resident
    assert not [process for process in processes if runs(process)]
    assert run.processes() == []
    assert not run.place.folder.exists()


def test_a_contender_that_is_gone_uses_nothing() -> None:
    with start("") as run:
        run.leader.wait()
        assert run.usage() == Usage(0, 0.0, 0, 0)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
