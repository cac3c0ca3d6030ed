"""A server for models on a port of its own, whose answers each test writes itself."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebServer:
    """Answers GET by path, else as `otherwise` does, and remembers the headers of every request."""

    def __init__(self, otherwise: Answer, tls: ssl.SSLContext | None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, dict(self.headers.items())))
                outer.answers.get(self.path.partition("?")[0], otherwise)(self)

            do_HEAD = do_GET  # noqa: N815 - http.server calls it so

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.thread = Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self.thread.join()
        self._server.server_close()


def says(status: int, body: bytes, **headers: str) -> Answer:
    """An answer; `content_length` among the headers may lie."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request.send_response(status)
        for name, value in ({"content-length": str(len(body))} | named).items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)
        request.close_connection = True

    return answer


def redirects(to: str, status: int = 302) -> Answer:
    return says(status, b"", location=to)


@contextmanager
def serving(otherwise: Answer | None = None, tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    server = WebServer(otherwise or says(404, b"nothing"), tls)
    server.thread.start()
    try:
        yield server
    finally:
        server.close()
