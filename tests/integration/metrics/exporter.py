"""A small program's figures, as Prometheus scrapes them."""

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Gauge, start_http_server


class Exporter:
    """Answers on a port of 127.0.0.1 that stays the same when it is stopped and started again."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.score = Gauge("score", "How good a version is.", ["version"], registry=self._registry)
        self._server: tuple[WSGIServer, Thread] | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """HOST:PORT, once it was started."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Answer from now on."""
        server, thread = start_http_server(self._port, "127.0.0.1", self._registry)
        self._server, self._port = (server, thread), server.server_port

    def stop(self) -> None:
        """Answer no more, if it does."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None
