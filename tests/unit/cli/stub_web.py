"""An HTTP server in the place of the monitor or of a router, for answers that real ones give rarely."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


Answers = Callable[[Asked], tuple[int, Any]]


@dataclass
class StubWeb:
    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def stub_web(answer: Answers) -> Iterator[StubWeb]:
    """Serve on a free port of 127.0.0.1 during the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            given = self.rfile.read(int(self.headers.get("content-length", 0)))
            one = Asked(
                split.path,
                parse_qs(split.query),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(given) if given else None,
            )
            web.asked.append(one)
            status, body = answer(one)
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            if status == 503:
                self.send_header("retry-after", "0")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - so it is called

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so it is called
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        web = StubWeb(server.server_port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
