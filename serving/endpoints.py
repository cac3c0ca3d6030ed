"""The paths that a replica answers: three protocols for one model, and health for Envoy and for people."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import unquote

import httptools
import orjson

from serving.about import Metrics, info
from serving.batching import Batcher, Job, Outcome
from serving.docspage import HTML, PAGE_HEADERS, page
from serving.errors import RETRY_SOON, RequestError
from serving.exchange import JSON_BYTES_HEADER, Exchange
from serving.limits import internal_error
from serving.openapi import document
from serving.protocol.base import Codec, Mixed, Reader
from serving.protocol.named import NamedCodec
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import EXTENSIONS, V2Codec
from serving.protocol.v2_grpc import GrpcCodec, Unary, other_calls
from serving.protocol.v2_grpc_frames import CONTENT_TYPE, SERVICE_PATH
from serving.runtimes import Signature, Tensors

READY_PATH = "/v2/health/ready"
"""What Envoy's active health check asks: 200, or 503 while the replica drains."""

Handler = Callable[[Exchange], None]

_GRPC = SERVICE_PATH.decode()

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
        reader: Reader,
        draining: Callable[[], bool],
        metrics: Metrics | None = None,
    ) -> None:
        """`metrics` is what the trainer said about the model."""
        self._model = model
        self._version = model_version
        self._signature = signature
        self._batcher = batcher
        self._draining = draining
        described = self._metadata()
        metadata = self._json(described)
        infer = self._infer(V2Codec(model, model_version, signature, reader))
        versioned = f"/v2/models/{model}/versions/{model_version}"
        described_as = model, model_version, signature, reader.max_rows
        self._pages: dict[str, Callable[[str | None], Handler]] = {
            f"/api/v1/models/{model}/openapi.json": lambda own: self._page(partial(_openapi, *described_as, own)),
            f"/api/v1/models/{model}/docs": lambda own: self._page(
                partial(page, *described_as, own), HTML, PAGE_HEADERS
            ),
        }
        self._routes: dict[str, tuple[bytes, Handler]] = {
            "/v2/health/live": (b"GET", self._json({"live": True})),
            READY_PATH: (b"GET", self._ready),
            "/v2": (b"GET", self._json({"name": "tidegate", "version": _own_version(), "extensions": EXTENSIONS})),
            f"/v2/models/{model}": (b"GET", metadata),
            f"/v2/models/{model}/ready": (b"GET", self._ready),
            f"/v2/models/{model}/infer": (b"POST", infer),
            versioned: (b"GET", metadata),
            f"{versioned}/ready": (b"GET", self._ready),
            f"{versioned}/infer": (b"POST", infer),
            f"/v1/models/{model}": (b"GET", self._ready_v1),
            f"/v1/models/{model}:predict": (b"POST", self._infer(V1Codec(signature, reader))),
            f"/api/v1/models/{model}/predict": (b"POST", self._infer(NamedCodec(model_version, signature, reader))),
            f"/api/v1/models/{model}/health": (b"GET", self._healthy),
            f"/api/v1/models/{model}/info": (b"GET", self._json(info(model, model_version, signature, metrics or {}))),
            **{path: (b"GET", write(None)) for path, write in self._pages.items()},
            f"{_GRPC}ModelInfer": (
                b"POST",
                self._infer(GrpcCodec(model, model_version, signature, reader), CONTENT_TYPE),
            ),
        }
        self.inference_paths = frozenset(
            path.encode() for path, (method, _) in self._routes.items() if method == b"POST"
        )
        """Where the model is asked."""
        calls = other_calls(model, model_version, _own_version(), described, lambda: not draining())
        self._routes |= {f"{_GRPC}{name}": (b"POST", self._call(call)) for name, call in calls.items()}
        self._quick = {(method, path.encode()): handler for path, (method, handler) in self._routes.items()}

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or when the model has. Raises `RequestError`."""
        handler = self._quick.get((exchange.method, exchange.url)) or self._find(exchange)
        handler(exchange)

    def close(self) -> None:
        """Let go of the model, which is freed with the last request that it owes an answer.

        Handlers lead back here: without this, the model would stay until the garbage collector finds the cycle.
        """
        vars(self).clear()

    def _find(self, exchange: Exchange) -> Handler:
        """The handler of a URL that is not written as plainly as most; or the error that says what is wrong with it."""
        try:
            path = unquote((httptools.parse_url(exchange.url).path or b"/").decode("ascii"))
        except (httptools.HttpParserError, UnicodeDecodeError):
            raise RequestError(400, "invalid_url", "the URL cannot be read") from None
        route = self._routes.get(path if path == "/" else path.rstrip("/")) or self._page_for(path)
        if route is None:
            raise self._unknown(path)
        method, handler = route
        if exchange.method != method and not (method == b"GET" and exchange.method == b"HEAD"):
            allowed = "GET, HEAD" if method == b"GET" else "POST"
            raise RequestError(
                405, "method_not_allowed", f"{path} answers {allowed}", b"allow: %b\r\n" % allowed.encode()
            )
        return handler

    def _page_for(self, path: str) -> tuple[bytes, Handler] | None:
        """`PAGE/for/PATH` is the page for those who ask for predictions at a path of the model's own: the router's."""
        name, _, own = path.partition("/for/")
        write = self._pages.get(name)
        return (b"GET", write(f"/{own}")) if own and write is not None else None

    def _unknown(self, path: str) -> RequestError:
        if path.startswith(_GRPC):
            return RequestError(405, "not_implemented", f"there is no method {path.removeprefix(_GRPC)!r} here")
        for prefix in ("/v2/models/", "/v1/models/", "/api/v1/models/"):
            if path.startswith(prefix):
                name = path.removeprefix(prefix).split("/")[0].split(":")[0]
                if name != self._model:
                    return RequestError(
                        404, "unknown_model", f"there is no model {name!r} here; this is {self._model!r}"
                    )
        beginning, _, version = path.partition("/versions/")
        version = version.partition("/")[0]
        if beginning == f"/v2/models/{self._model}" and version not in ("", self._version):
            return RequestError(
                404, "unknown_version", f"there is no version {version!r} here; this is {self._version!r}"
            )
        return RequestError(404, "not_found", f"there is nothing at {path}; the model is at /v2/models/{self._model}")

    def _infer(self, codec: Codec, media: bytes | None = None) -> Handler:
        """The handler that lets the model answer; `media` is the content type of answers that are no JSON."""
        submit = self._batcher.submit

        def infer(exchange: Exchange) -> None:
            query = codec.decode(exchange.body, exchange.json_bytes)
            if exchange.headers is not None and isinstance(query.rows, Tensors):
                query = replace(query, rows=replace(query.rows, headers=exchange.headers))
            exchange.rows = query.rows
            exchange.body = b""  # what waits for the model need not hold its bytes too

            def deliver(outcome: Outcome) -> None:
                if isinstance(outcome, RequestError):
                    exchange.fail(outcome)
                    return
                try:
                    body = codec.encode(query, outcome)
                except RequestError as error:
                    exchange.fail(error)
                    return
                except Exception:
                    log.exception("an answer could not be written")
                    exchange.fail(internal_error())
                    return
                exchange.outputs = outcome
                if isinstance(body, Mixed):
                    exchange.media = b"application/octet-stream"
                    exchange.answer(200, body.content, b"%b: %d\r\n" % (JSON_BYTES_HEADER, body.json_bytes))
                else:
                    exchange.media = media
                    exchange.answer(200, body)

            job = Job(query.rows, query.outputs, deliver)
            submit(job)
            exchange.cancel = job.abandon

        return infer

    def _call(self, call: Unary) -> Handler:
        """The handler of a gRPC method that does not ask the model."""

        def handle(exchange: Exchange) -> None:
            answer = call(exchange.body)
            exchange.media = CONTENT_TYPE
            exchange.answer(200, answer)

        return handle

    def _json(self, value: object) -> Handler:
        """The handler of a question that always has the same answer."""
        body = orjson.dumps(value)
        return lambda exchange: exchange.answer(200, body)

    def _page(self, write: Callable[[], bytes], media: bytes | None = None, headers: bytes = b"") -> Handler:
        """The handler of a page that always is the same, and is written when somebody asks for it first."""
        written = cache(write)

        def handle(exchange: Exchange) -> None:
            exchange.media = media
            exchange.answer(200, written(), headers)

        return handle

    def _ready(self, exchange: Exchange) -> None:
        self._refuse_when_draining()
        exchange.answer(200, b'{"ready":true}')

    def _healthy(self, exchange: Exchange) -> None:
        self._refuse_when_draining()
        said = {"status": "healthy", "model_loaded": True, "name": self._model, "version": self._version}
        exchange.answer(200, orjson.dumps(said))

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
            inputs = [(feature.name, feature.datatype, [-1]) for feature in signature.features]
        elif signature.tabular:
            width = -1 if signature.width is None else signature.width
            inputs = [(signature.tensor.name, signature.tensor.datatype, [-1, width])]
        else:
            inputs = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in signature.tensors]
        return {
            "name": self._model,
            "versions": [self._version],
            "platform": signature.platform,
            "inputs": [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs],
            "outputs": [
                {"name": output.name, "datatype": output.datatype, "shape": output.shape}
                for output in signature.outputs
            ],
        }


def _openapi(model: str, model_version: str, signature: Signature, max_rows: int, own: str | None) -> bytes:
    return orjson.dumps(document(model, model_version, signature, max_rows, own))


def _own_version() -> str:
    """Tidegate's version, where it is installed as a package: Ray may also bring it as plain files."""
    try:
        return version("tidegate")
    except PackageNotFoundError:
        return "unpackaged"
