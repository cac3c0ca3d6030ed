"""An HTTP server in the place of an API server, for answers that a real one gives rarely."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Answer = tuple[int, Any]
"""A status, and a body: text as it is, a mapping as JSON, a list as the events of a watch."""


@dataclass
class StubCluster:
    """Answers with what `answer` gives for a method, a path and a query."""

    url: str
    answer: Callable[[str, str, dict[str, str]], Answer]
    date: str | None = None
    """What the clock says, if it is not the real one."""
    asked: list[str] = field(default_factory=list)

    def kubeconfig(self, folder: Path, **context: str) -> Path:
        return write_kubeconfig(folder / "kubeconfig", self.url, **context)


def write_kubeconfig(path: Path, url: str, **context: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": url}}],
        "users": [{"name": "jane", "user": {"token": "secret"}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "jane", **context}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def stub_cluster(answer: Callable[[str, str, dict[str, str]], Answer]) -> Iterator[StubCluster]:
    """Serve on a free port of 127.0.0.1 during the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(split.query).items()}
            cluster.asked.append(f"{self.command} {split.path}{' watch' if 'watch' in query else ''}")
            status, body = answer(self.command, split.path, query)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.end_headers()
            self.wfile.write(_encoded(body))

        def date_time_string(self, timestamp: float | None = None) -> str:
            return cluster.date or super().date_time_string(timestamp)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so it is called
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cluster = StubCluster(f"http://127.0.0.1:{server.server_port}", answer)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()


def _encoded(body: Any) -> bytes:
    if isinstance(body, list):
        return b"".join(json.dumps(event).encode() + b"\n" for event in body)
    return (body if isinstance(body, str) else json.dumps(body)).encode()
