"""`ServeTarget` → Ray Serve's declarative configuration, and back. Pure: nothing here talks to Ray.

The schema is that of `PUT /api/serve/applications/` (`ServeDeploySchema` of Ray Serve 2.60). That request replaces
everything: applications it does not list are deleted, so those of others are carried over as they are.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from serving.autoscaling import REPORT_SECONDS, WINDOW_SECONDS
from serving.details import Application, Json, ServeDetails
from serving.spec import ServeTarget, TargetKey

IMPORT_PATH: Final = "serving.app:build"
"""An application is Tidegate's if and only if it is built by this function and its arguments name a version."""
DEPLOYMENT: Final = "model"
POLICY: Final = "serving.autoscaling:policy"
INGRESS_DRAINING_SECONDS: Final = 5.0
"""How long a replica goes on as before once Ray Serve has taken it off the list, and only then begins to drain.

Every Ray process must have it as `RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S`. It has to outlast the time in which
the routers learn of the shorter list.
"""
ARTIFACTS_VARIABLE: Final = "TIDEGATE_ARTIFACTS"
"""Names, in the environment of Ray's processes, the folder where replicas keep model files by their SHA-256."""
CODE_VARIABLE: Final = "TIDEGATE_ARTIFACT_CODE"
"""Says there which models may run code of their own: `always`, `verified` or `never` (`serving.artifacts.settings`)."""
_STOP_SECONDS: Final = 5.0
"""What remains for closing connections between the end of a drain and Ray's SIGKILL."""

_FOLLOWING: Final = ("grpcio-reflection",)
"""What Ray Serve imports that works with one generation of protobuf only. Named beside a version's own packages, pip
installs another of it where they bring another protobuf."""

_TARGET: Final = TypeAdapter(ServeTarget)
_KEY: Final = TypeAdapter(TargetKey)


def application(target: ServeTarget) -> Json:
    """One immutable application: its name carries the version, and nothing but the number of replicas ever changes.

    That number is a deployment option and no argument: another argument would be another build and new replicas. A
    fixed one is written as the least and the most, for a policy that comes or goes would be another build as well.
    """
    arguments = orjson.loads(orjson.dumps(target))
    del arguments["replicas"], arguments["autoscaling"]
    parts = (target.key.namespace, target.key.name, target.key.version)
    return {
        "name": ".".join(("tidegate", *parts)),
        "route_prefix": "/".join(("/tidegate", *parts)),
        "import_path": IMPORT_PATH,
        "args": arguments,
        "deployments": [
            {
                "name": DEPLOYMENT,
                **_size(target),
                "ray_actor_options": _actor_options(target),
                # Requests do not pass Ray Serve: only the control plane's question for the port does.
                "max_ongoing_requests": 16,
                "health_check_period_s": 0.5,
                "health_check_timeout_s": 10.0,
                "graceful_shutdown_wait_loop_s": 0.5,
                "graceful_shutdown_timeout_s": INGRESS_DRAINING_SECONDS + target.drain_seconds + _STOP_SECONDS,
                "logging_config": {"enable_access_log": False},
            }
        ],
    }


def target_of(arguments: Json) -> ServeTarget:
    """The target that `application` made these arguments from, with one replica. Raises `ValidationError`."""
    return _TARGET.validate_python(arguments)


def key_of(config: Json) -> TargetKey | None:
    """Which version an application's configuration is of; None when it is not Tidegate's."""
    if config.get("import_path") != IMPORT_PATH:
        return None
    try:
        return _KEY.validate_python((config.get("args") or {}).get("key"))
    except ValidationError:
        return None


def owned(details: ServeDetails) -> dict[TargetKey, Application]:
    """Tidegate's own applications that are not being deleted."""
    return {
        key: app
        for app in details.applications.values()
        if app.config is not None and not app.deleting and (key := key_of(app.config)) is not None
    }


def compose(targets: Sequence[ServeTarget], details: ServeDetails, http_host: str) -> Json | None:
    """The configuration that makes exactly `targets` run beside the applications of others; None if that is so already.

    An application that exists keeps its configuration to the letter, whatever this release would render today: only
    its number of replicas follows the target. `http_host` is where Ray Serve is to listen should it not run yet.
    """
    present = owned(details)
    wanted = {target.key: target for target in targets}
    if present.keys() == wanted.keys() and all(_fits(app.config, wanted[key]) for key, app in present.items()):
        return None
    foreign = [app.config for app in details.applications.values() if _is_carried(app)]
    ours = (_scaled(present.get(key), target) for key, target in sorted(wanted.items()))
    return start_options(http_host) | details.options | {"applications": [*foreign, *ours]}


def start_options(http_host: str, http_port: int = 8000) -> Json:
    """What starts Ray Serve; ignored once it runs.

    The location must not be `Disabled`, or the replicas get no port to be asked on.
    """
    return {"proxy_location": "HeadOnly", "http_options": {"host": http_host, "port": http_port}}


def undeclared(applications: Iterable[Application]) -> list[str]:
    """Names of applications that a PUT would delete although nobody wants that: their configuration is not known.

    Ray Serve keeps configurations apart from applications, and may for a moment know the one without the other.
    """
    return [app.name for app in applications if app.declared and not app.deleting and app.config is None]


def _is_carried(app: Application) -> bool:
    return app.declared and not app.deleting and app.config is not None and key_of(app.config) is None


def _scaled(present: Application | None, target: ServeTarget) -> Json:
    if present is None or present.config is None:
        return application(target)
    [deployment] = present.config["deployments"]
    if "autoscaling_config" in deployment:
        change = {"autoscaling_config": deployment["autoscaling_config"] | _bounds(target)}
    elif target.autoscaling is None:
        change = {"num_replicas": target.replicas}
    else:  # of a release that had fixed sizes only: Ray Serve builds it again
        change = _size(target)
    return present.config | {"deployments": [deployment | change]}


def _size(target: ServeTarget) -> Json:
    """The options that tell Ray Serve the number of replicas, or how to choose it."""
    policy = {"policy": {"policy_function": POLICY}}
    reports = {"metrics_interval_s": REPORT_SECONDS, "look_back_period_s": WINDOW_SECONDS}
    # With "auto" Ray Serve's controller gets the policy from the build, and need not find it itself.
    return {"num_replicas": "auto", "autoscaling_config": _bounds(target) | reports | policy}


def _bounds(target: ServeTarget) -> Json:
    """What of it may change while the version runs."""
    scaling = target.autoscaling
    if scaling is None:
        return {"min_replicas": target.replicas, "max_replicas": target.replicas}
    return {
        "min_replicas": target.replicas,
        "max_replicas": scaling.max_replicas,
        "target_ongoing_requests": scaling.target_ongoing_requests,
        "upscale_delay_s": scaling.upscale_delay,
        "downscale_delay_s": scaling.downscale_delay,
    }


def _fits(config: Json | None, target: ServeTarget) -> bool:
    """Whether an application has the size that the target wants."""
    [deployment] = (config or {}).get("deployments") or [{}]
    fixed = deployment.get("num_replicas")
    found = deployment.get("autoscaling_config") or {"min_replicas": fixed, "max_replicas": fixed}
    return found | _bounds(target) == found


def _actor_options(target: ServeTarget) -> Json:
    options: Json = {"num_cpus": target.cpu, "num_gpus": target.gpu}
    if target.memory_bytes:
        options["memory"] = target.memory_bytes
    environment: Json = {}
    if target.env:
        environment["env_vars"] = dict(target.env)
    if target.pip:
        environment["pip"] = [*target.pip, *_FOLLOWING]
    if environment:
        options["runtime_env"] = environment
    return options
