"""Who is compared with Tidegate: pinned packages, the command, and the fastest settings its documentation gives.

Every contender gets one process that predicts (one worker, one replica), as Tidegate does, and no log line a request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from benchmarks.peers.exchange import SELDON, V2, Exchange

SERVERS = Path(__file__).with_name("servers")
RAY_SERVER = Path(__file__).parents[1] / "ray_proxy.py"
SPARE_PORTS = 3
_MODEL_PACKAGES = ("joblib==1.6.0", "scikit-learn==1.9.1")  # as in uv.lock: the same model file, read by the same code


@dataclass(frozen=True, slots=True)
class Packages:
    """One virtual environment. What `requirements` leave open is pinned in `locks/{name}.txt`."""

    name: str
    requirements: tuple[str, ...]

    @property
    def lock(self) -> Path:
        """The file with every package's version."""
        return Path(__file__).with_name("locks") / f"{self.name}.txt"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run of a contender happens: its interpreter, the model file, a folder of its own, and free ports."""

    python: Path
    model: Path
    folder: Path
    port: int
    spare: tuple[int, ...]

    def fill(self, text: str) -> str:
        """Replace $python, $bin, $model, $folder, $servers, $ray, $port and $spare0, $spare1, …; else a `KeyError`."""
        paths = {"python": self.python, "bin": self.python.parent, "model": self.model, "folder": self.folder}
        ports = {f"spare{number}": port for number, port in enumerate(self.spare)}
        return Template(text).substitute(**paths, **ports, port=self.port, servers=SERVERS, ray=RAY_SERVER)


@dataclass(frozen=True, slots=True)
class Contender:
    """One server; `command` and the values of `environment` and `files` have the placeholders of `Place.fill`.

    It runs in the run's folder, where `files` (by name) are written before; the variable MODEL names the model file.
    It is ready when it answers a request of `exchange`: the one thing that all of them can be asked.
    `settings` says what makes it fast, and where that is documented.
    """

    name: str
    packages: Packages
    command: str
    settings: str
    exchange: Exchange = V2
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The first requirement's version, which is the contender's."""
        return self.packages.requirements[0].partition("==")[2]

    def words(self, place: Place) -> list[str]:
        """The command as it is run; a path with a space in it stays one word."""
        return [place.fill(word) for word in self.command.split()]


# uvicorn takes them where they are installed (uvicorn.org/settings, implementation). Ray brings them along.
_UVICORN_EXTRAS = ("httptools==0.9.0", "uvloop==0.23.0")

FASTAPI = Contender(
    "fastapi",
    Packages("fastapi", ("fastapi==0.165.0", *_MODEL_PACKAGES, "orjson==3.13.0", "uvicorn==0.54.0", *_UVICORN_EXTRAS)),
    "$python -m uvicorn fastapi_server:app --app-dir $servers --host 127.0.0.1 --port $port --workers 1 "
    "--loop uvloop --http httptools --no-access-log --log-level warning",
    "A hand-written `async def` on the raw body, orjson; uvloop, httptools, no access log (uvicorn.org/settings, "
    "fastapi.tiangolo.com/advanced/custom-response).",
)

KSERVE = Contender(
    "kserve",
    Packages("kserve", ("kserve==0.21.0", *_MODEL_PACKAGES, *_UVICORN_EXTRAS)),
    "$python $servers/kserve_server.py --http_port $port --workers 1 --enable_grpc false "
    "--enable_latency_logging false --log_config_file $folder/logging.json",
    "uvloop, no gRPC server, no latency log, logging from WARNING up, `predict` on the event loop "
    "(options of kserve.ModelServer: kserve.github.io/website/docs/reference/python-runtime-sdk).",
    environment={"PYTHONWARNINGS": "ignore"},  # KServe answers with a class that FastAPI warns of at every request
    files={"logging.json": json.dumps({"version": 1, "root": {"level": "WARNING"}})},
)

MLSERVER = Contender(
    "mlserver",
    Packages("mlserver", ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", *_MODEL_PACKAGES, *_UVICORN_EXTRAS)),
    "$bin/mlserver start $folder",
    "Its own scikit-learn runtime; parallel_workers 0, which spares the hop to a worker process, debug off (no access "
    "log), no metrics, no gzip (docs.seldon.ai/mlserver: user-guide/parallel-inference, reference/settings).",
    files={
        "settings.json": """{"debug": false, "parallel_workers": 0, "host": "127.0.0.1", "http_port": $port,
 "grpc_port": $spare0, "metrics_endpoint": null, "metrics_port": $spare1, "gzip_enabled": false}""",
        "model-settings.json": """{"name": "iris", "implementation": "mlserver_sklearn.SKLearnModel",
 "parameters": {"uri": "$model", "version": "1"}}""",
    },
)

BENTOML = Contender(
    "bentoml",
    Packages("bentoml", ("bentoml==1.4.39", *_MODEL_PACKAGES, *_UVICORN_EXTRAS)),
    "$bin/bentoml serve bentoml_server:Iris --working-dir $servers --host 127.0.0.1 --port $port --api-workers 1",
    "One worker, `async def` (no thread pool), no metrics, access log, monitoring or tracking "
    "(docs.bentoml.com: build-with-bentoml/services, reference/bentoml/configurations).",
    environment={"BENTOML_HOME": "$folder/bentoml", "BENTOML_DO_NOT_TRACK": "True"},
)

LITSERVE = Contender(
    "litserve",
    Packages("litserve", ("litserve==0.2.19", *_MODEL_PACKAGES, *_UVICORN_EXTRAS)),
    "$python $servers/litserve_server.py $port",
    "`fast_queue` (ZeroMQ, for more than 100 requests a second), one worker and one API server on the CPU, log level "
    "warning, no access log, no OpenAPI (docstrings of LitServer and LitServer.run; lightning.ai/docs/litserve).",
)

SELDON_CORE = Contender(
    "seldon-core",
    # 1.19.0 wants Python 3.12. gunicorn 20.1, which 1.18 pins, imports pkg_resources: setuptools has none since 82.
    Packages("seldon-core", ("seldon-core==1.18.2", *_MODEL_PACKAGES, "setuptools==80.9.0")),
    "$bin/seldon-core-microservice seldon_server.Iris --service-type MODEL --http-port $port --workers 1 --threads 16 "
    "--keepalive 60 --grpc-workers 0 --grpc-port $spare0 --metrics-port $spare1 --log-level ERROR",
    "One gunicorn worker with threads, without which gunicorn keeps no connection open; no gRPC, no access log "
    "(docs.seldon.ai/seldon-core-1: wrappers-and-sdks/python-language-wrapper/python_server).",
    SELDON,
    {"PYTHONPATH": "$servers"},
)

_RAY = Packages("ray", ("ray[serve]==2.60.0", *_MODEL_PACKAGES, "orjson==3.13.0"))
# A cluster of its own (Ray would join one that it finds on the machine), with its files in the run's folder.
_RAY_ENVIRONMENT = {"RAY_ADDRESS": "local", "RAY_TMPDIR": "$folder", "RAY_USAGE_STATS_ENABLED": "0"}

RAY = Contender(
    "ray-serve",
    _RAY,
    "$python $ray $model $port",
    "Serve's own proxy with its defaults, no access log, `async def`, max_ongoing_requests 256 "
    "(docs.ray.io: serve/advanced-guides/performance).",
    environment=_RAY_ENVIRONMENT,
)

RAY_HAPROXY = Contender(
    "ray-serve-haproxy",
    _RAY,
    "$python $ray $model $port",
    "RAY_SERVE_ENABLE_HA_PROXY=1 and RAY_SERVE_THROUGHPUT_OPTIMIZED=1, which the documentation calls high throughput "
    "mode (docs.ray.io: cluster/kubernetes/user-guides/kuberay-serve-high-throughput).",
    environment=_RAY_ENVIRONMENT
    | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "$folder/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": "$folder/haproxy.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "$folder",
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "$folder/haproxy.state",
        "RAY_SERVE_HAPROXY_METRICS_PORT": "$spare0",
        "RAY_SERVE_HAPROXY_STATS_PORT": "$spare1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": "$spare2",
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": "65535",
    },
)

RAY_DIRECT = Contender(
    "ray-serve-direct",
    _RAY,
    "$python $ray $model $spare0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED=1, which turns on direct ingress: the client asks the replica's own port, and "
    "nothing of Ray's balances over replicas (docs.ray.io: serve/advanced-guides/performance; ray.serve constants.py).",
    environment=_RAY_ENVIRONMENT
    | {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": "$port",  # the first replica gets the lowest
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": "65535",
    },
)

CONTENDERS = (RAY, RAY_HAPROXY, RAY_DIRECT, KSERVE, MLSERVER, SELDON_CORE, BENTOML, LITSERVE, FASTAPI)
