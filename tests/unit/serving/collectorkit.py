"""A monitor on a loopback socket that takes batches of records, or does something worse."""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
        """Every body that came, those that were not taken included."""
        return [body for _, _, body in self.posts]

    @property
    def records(self):
        """Each record once, however often its batch was sent."""
        once = {(body["replica"], body["batch"]): body["records"] for body in self.batches}
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
        answer = json.dumps({"accepted": len(body["records"])}).encode()
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
