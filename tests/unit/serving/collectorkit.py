"""A server that sends records, and a monitor on a loopback socket that takes them, or does something worse."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np

from serving.records import RecordsConfig
from serving.records.collector import RECORDS
from serving.runtimes import OutputSpec, Signature
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec

INFER = "/v2/models/sum/infer"
NAMED = (InputSpec("a"), InputSpec("b"))


class Sum:
    """Adds up each row, in place. Raises on a row that begins with -1."""

    def __init__(self, features=NAMED):
        self.signature = Signature("test", 2, features, InputSpec("x"), (OutputSpec("predict", "FP64", (-1,)),))

    def predict(self, rows, outputs):
        if (rows[:, 0] == -1).any():
            raise ValueError("row begins with -1")
        with np.errstate(over="ignore"):
            rows[:, 0] += rows[:, 1]
        return {name: rows[:, 0].copy() for name in outputs}


def infer(*rows):
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), 2], "datatype": "FP64", "data": data}]}


@contextmanager
def serving(url, model=None, profile=None, **options):
    """A server that sends records, with a client."""
    records = RecordsConfig(
        url, **({"block_seconds": 0.01, "batch_seconds": 0.02, "first_pause": 0.01, "longest_pause": 0.05} | options)
    )
    server = ModelServer(
        ServerConfig(model="sum", version="v7", namespace="team", records=records), model or Sum(), profile
    )
    port = server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield server, client
    finally:
        server.stop()


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


USUAL = {"status": 200, "mirrored": False, "rows": 1}
"""What the absence of a column stands for; of others, that no record has a value."""


def records_of(blocks):
    """The records of a batch as objects, without the values that they do not have."""
    return [record for block in blocks for record in _records(block)]


def _records(block):
    count = len(block["id"])
    columns = {name: [value] * count for name, value in USUAL.items()} | block
    kept = columns.pop("kept", columns["rows"])
    parts = {part: columns.pop(part) for part in ("inputs", "outputs") if part in columns}
    for place in range(count):
        record = {name: values[place] for name, values in columns.items() if values[place] is not None}
        start, end = sum(kept[:place]), sum(kept[: place + 1])
        if start < end:
            for part, each in parts.items():
                record[part] = {name: values[start:end] for name, values in each.items()}
        yield record


class Monitor(ThreadingHTTPServer):
    """Answers each POST with the next of `statuses`, then with 200; remembers everything.

    `arrived` is notified for every POST. While `gate` is not set, no answer is given.
    """

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.statuses = []
        self.posts = []
        self.arrived = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()
        self.closes = False
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def batches(self):
        """Every batch that came, those that were not taken included."""
        return [body for path, _, body in self.posts if path == RECORDS]

    @property
    def records(self):
        """Each record once, however often its batch was sent."""
        once = {(body["replica"], body["batch"]): records_of(body["blocks"]) for body in self.batches}
        return [record for records in once.values() for record in records]

    def wait_for(self, wanted, seconds=30):
        """Return once `wanted()` is true; it is asked at every arrival."""
        with self.arrived:
            assert self.arrived.wait_for(wanted, seconds)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        monitor = self.server
        assert monitor.gate.wait(30)
        with monitor.arrived:
            status = monitor.statuses.pop(0) if monitor.statuses else 200
            monitor.posts.append((self.path, dict(self.headers), body))
            monitor.arrived.notify_all()
        answer = json.dumps({"accepted": len(records_of(body.get("blocks", [])))}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.close_connection = monitor.closes

    def log_message(self, *args):
        pass


@contextmanager
def listening():
    """A monitor that is gone afterwards."""
    monitor = Monitor()
    try:
        yield monitor
    finally:
        monitor.gate.set()
        monitor.shutdown()
        monitor.server_close()


def free_port():
    """A port of 127.0.0.1 where nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ids(count):
    return [f"{number:08x}-0000-4000-8000-000000000000" for number in range(count)]
