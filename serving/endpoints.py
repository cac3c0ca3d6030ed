"""The paths that a replica answers: three protocols for one model, and health for Envoy and for people."""

import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import unquote

import httptools
import orjson

from serving.batching import Batcher, Job, Outcome
from serving.errors import RETRY_SOON, RequestError
from serving.exchange import Exchange
from serving.limits import internal_error
from serving.protocol.base import Codec
from serving.protocol.named import NamedCodec
from serving.protocol.table import Table
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import Signature

READY_PATH = "/v2/health/ready"
"""What Envoy's active health check asks: 200, or 503 while the replica drains."""

Handler = Callable[[Exchange], None]

log = logging.getLogger(__name__)


class Endpoints:
    """Finds the handler of a request."""

    def __init__(
        self,
        model: str,
        model_version: str,
        signature: Signature,
        batcher: Batcher,
        *,
        table: Table,
        draining: Callable[[], bool],
    ) -> None:
        self._model = model
        self._version = model_version
        self._signature = signature
        self._batcher = batcher
        self._draining = draining
        self._routes: dict[str, tuple[bytes, Handler]] = {
            "/v2/health/live": (b"GET", self._json({"live": True})),
            READY_PATH: (b"GET", self._ready),
            "/v2": (b"GET", self._json({"name": "tidegate", "version": _own_version(), "extensions": []})),
            f"/v2/models/{model}": (b"GET", self._json(self._metadata())),
            f"/v2/models/{model}/ready": (b"GET", self._ready),
            f"/v2/models/{model}/infer": (b"POST", self._infer(V2Codec(model, model_version, signature, table))),
            f"/v1/models/{model}": (b"GET", self._ready_v1),
            f"/v1/models/{model}:predict": (b"POST", self._infer(V1Codec(signature, table))),
            f"/api/v1/models/{model}/predict": (b"POST", self._infer(NamedCodec(model_version, signature, table))),
        }
        self._quick = {(method, path.encode()): handler for path, (method, handler) in self._routes.items()}
        self.inference_paths = frozenset(
            path.encode() for path, (method, _) in self._routes.items() if method == b"POST"
        )
        """Where the model is asked."""

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or when the model has. Raises `RequestError`."""
        handler = self._quick.get((exchange.method, exchange.url)) or self._find(exchange)
        handler(exchange)

    def _find(self, exchange: Exchange) -> Handler:
        """The handler of a URL that is not written as plainly as most; or the error that says what is wrong with it."""
        try:
            path = unquote((httptools.parse_url(exchange.url).path or b"/").decode("ascii"))
        except (httptools.HttpParserError, UnicodeDecodeError):
            raise RequestError(400, "invalid_url", "the URL cannot be read") from None
        route = self._routes.get(path if path == "/" else path.rstrip("/"))
        if route is None:
            raise self._unknown(path)
        method, handler = route
        if exchange.method != method and not (method == b"GET" and exchange.method == b"HEAD"):
            allowed = "GET, HEAD" if method == b"GET" else "POST"
            raise RequestError(
                405, "method_not_allowed", f"{path} answers {allowed}", b"allow: %b\r\n" % allowed.encode()
            )
        return handler

    def _unknown(self, path: str) -> RequestError:
        for prefix in ("/v2/models/", "/v1/models/", "/api/v1/models/"):
            if path.startswith(prefix):
                name = path.removeprefix(prefix).split("/")[0].split(":")[0]
                if name != self._model:
                    return RequestError(
                        404, "unknown_model", f"there is no model {name!r} here; this is {self._model!r}"
                    )
        return RequestError(404, "not_found", f"there is nothing at {path}; the model is at /v2/models/{self._model}")

    def _infer(self, codec: Codec) -> Handler:
        """The handler that lets the model answer."""
        submit = self._batcher.submit

        def infer(exchange: Exchange) -> None:
            query = codec.decode(exchange.body)
            exchange.rows = query.rows
            exchange.body = b""  # what waits for the model need not hold its bytes too

            def deliver(outcome: Outcome) -> None:
                if isinstance(outcome, RequestError):
                    exchange.fail(outcome)
                    return
                try:
                    body = codec.encode(query, outcome)
                except Exception:
                    log.exception("an answer could not be written")
                    exchange.fail(internal_error())
                    return
                exchange.outputs = outcome
                exchange.answer(200, body)

            job = Job(query.rows, query.outputs, deliver)
            submit(job)
            exchange.cancel = job.abandon

        return infer

    def _json(self, value: object) -> Handler:
        """The handler of a question that always has the same answer."""
        body = orjson.dumps(value)
        return lambda exchange: exchange.answer(200, body)

    def _ready(self, exchange: Exchange) -> None:
        self._refuse_when_draining()
        exchange.answer(200, b'{"ready":true}')

    def _ready_v1(self, exchange: Exchange) -> None:
        """KServe's form and TensorFlow Serving's in one."""
        self._refuse_when_draining()
        status = {"version": self._version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        exchange.answer(200, orjson.dumps({"name": self._model, "ready": True, "model_version_status": [status]}))

    def _refuse_when_draining(self) -> None:
        if self._draining():
            raise RequestError(503, "draining", "this replica is going away", RETRY_SOON)

    def _metadata(self) -> dict[str, object]:
        signature = self._signature
        if signature.features:
            inputs = [
                {"name": feature.name, "datatype": feature.datatype, "shape": [-1]} for feature in signature.features
            ]
        else:
            width = -1 if signature.width is None else signature.width
            tensor = signature.tensor
            inputs = [{"name": tensor.name, "datatype": tensor.datatype, "shape": [-1, width]}]
        return {
            "name": self._model,
            "versions": [self._version],
            "platform": signature.platform,
            "inputs": inputs,
            "outputs": [
                {"name": output.name, "datatype": output.datatype, "shape": output.shape}
                for output in signature.outputs
            ],
        }


def _own_version() -> str:
    """Tidegate's version, where it is installed as a package: Ray may also bring it as plain files."""
    try:
        return version("tidegate")
    except PackageNotFoundError:
        return "unpackaged"
