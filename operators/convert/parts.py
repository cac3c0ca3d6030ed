"""What manifests of all sources have in common, since all of them hold pieces of Kubernetes' own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from operators.api.block import DNS_LABEL
from operators.api.fields import parse_quantity
from operators.api.types import ENV_NAME
from operators.convert.fields import Fields, Why
from operators.convert.report import Kind, NotConvertible

LONGEST_NAME: Final = 63
"""Characters of a DNS label."""
MOST_REPLICAS: Final = 1000
BOOKKEEPING: Final = (
    "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
    "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
)  # fmt: skip
"""What the API server and controllers write into metadata. Annotations are told about one by one."""
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_GPU: Final = "nvidia.com/gpu"
_ANNOTATION: Final = ("steers the controller that the manifest was for", "annotate the rollout if somebody reads it")
_IMAGE: Final = ("belongs to a container: replicas run in Ray's pods", "set it up there: the chart's values for Ray")
_POD: Final = ("belongs to a pod: replicas run in Ray's pods", "set it up there: the chart's values for Ray")
CONTAINER: Final[Why] = {
    **dict.fromkeys(
        (
            "image", "imagePullPolicy", "command", "args", "workingDir", "ports", "securityContext", "volumeMounts",
            "volumeDevices", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "terminationMessagePath",
            "terminationMessagePolicy", "stdin", "tty",
        ),
        _IMAGE,
    ),
    "envFrom": ("takes variables from a ConfigMap or Secret", "write them out in spec.serving.env"),
}  # fmt: skip
"""Fields of a container that a replica has no counterpart for."""
POD: Final[Why] = dict.fromkeys(
    (
        "affinity", "dnsPolicy", "hostIPC", "hostNetwork", "imagePullSecrets", "initContainers",
        "nodeName", "nodeSelector", "priorityClassName", "restartPolicy", "runtimeClassName", "schedulerName",
        "securityContext", "serviceAccountName", "terminationGracePeriodSeconds", "tolerations",
        "topologySpreadConstraints", "volumes",
    ),
    _POD,
)  # fmt: skip
"""Fields of a pod that a replica has no counterpart for."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a manifest is called."""

    name: str
    metadata: Mapping[str, Any]


def metadata(manifest: Fields) -> Names:
    """The rollout's metadata. Raises `NotConvertible` for a manifest without a name of use."""
    fields = manifest.block("metadata")
    given = fields.text("name")
    if given is None:
        raise NotConvertible("metadata.name", "is missing", "name the manifest")
    name = _label(fields, "name", given)
    namespace = fields.text("namespace")
    labels = fields.texts("labels")
    annotations(fields)
    fields.skip(*BOOKKEEPING)
    fields.finish({})
    return Names(
        name,
        {
            "name": name,
            **({"namespace": _label(fields, "namespace", namespace)} if namespace else {}),
            **({"labels": dict(labels)} if labels else {}),
        },
    )


def annotations(fields: Fields) -> None:
    """Note every annotation. None is carried over: Tidegate's own are commands."""
    found = fields.block("annotations")
    found.skip(_APPLIED)
    for name in found.names:
        found.skip(name)
        found.note(name, Kind.LEFT_OUT, *_ANNOTATION)


def as_label(text: str) -> str:
    """The DNS label that is closest to a text; empty when it has no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:LONGEST_NAME].strip("-")


def _label(fields: Fields, name: str, given: str) -> str:
    if re.fullmatch(DNS_LABEL, given):
        return given
    label = as_label(given)
    if not label:
        raise NotConvertible(fields.place(name), "has no letter or digit that a DNS label could hold", "rename it")
    fields.note(name, Kind.DIFFERENT, f"is no DNS label: it becomes {label}", "requests name the model so")
    return label


def replicas(fields: Fields, name: str) -> int | None:
    """A number of replicas; 0 becomes 1, since models never scale to zero."""
    count = fields.whole(name, 0, MOST_REPLICAS)
    if count == 0:
        fields.note(name, Kind.LEFT_OUT, "is 0: a version never scales to zero", "1 replica is written")
        return 1
    return count


def container(fields: Fields, why: Why = CONTAINER) -> dict[str, Any]:
    """`resources` and `env` of a container, as parts of `spec.serving`. All else of it is noted."""
    env, resources = _env(fields), _resources(fields.block("resources"))
    fields.skip("name")
    fields.finish(why)
    return {**({"resources": resources} if resources else {}), **({"env": env} if env else {})}


def _env(fields: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in fields.blocks("env"):
        name, refers = entry.text("name"), "valueFrom" in entry
        entry.skip("valueFrom")
        value = entry.raw("value")
        entry.finish({})
        if name is None or not re.fullmatch(ENV_NAME, name):
            entry.note("name", Kind.LEFT_OUT, "is no name of an environment variable", "rename it")
        elif refers:
            entry.note(
                "valueFrom",
                Kind.LEFT_OUT,
                f"fills {name} from elsewhere, such as a Secret; spec.serving.env holds plain text",
                "set it in Ray's pods, which replicas inherit from",
            )
        elif value is not None and not isinstance(value, str):
            entry.note("value", Kind.LEFT_OUT, f"of {name} must be text", "put it in quotes and convert again")
        else:
            if value is not None and "$(" in value:
                entry.note("value", Kind.DIFFERENT, f"of {name} may name other variables by $(...)", "write them out")
            found[name] = value or ""
    return found


def _resources(fields: Fields) -> dict[str, str]:
    """What is requested, else what the limit is, as Kubernetes has it. Ray reserves and limits nothing."""
    requests, limits = fields.block("requests"), fields.block("limits")
    found: dict[str, str] = {}
    for name, ours in (("cpu", "cpu"), ("memory", "memory"), (_GPU, "gpu")):
        request, limit = _quantity(requests, name), _quantity(limits, name)
        amount = request if request is not None else limit
        if amount is not None and limit is not None and parse_quantity(amount) != parse_quantity(limit):
            limits.note(name, Kind.LEFT_OUT, f"Ray reserves {amount} and enforces no limit", "limit Ray's pods instead")
        if ours == "cpu" and amount is not None and parse_quantity(amount) == 0:
            (requests if request is not None else limits).note(
                name, Kind.LEFT_OUT, "is 0: a replica needs a share of a CPU", "the default of 100m holds"
            )
        elif amount is not None:
            found[ours] = amount
    for block in (requests, limits):
        block.finish({})
    fields.finish({})
    return found


def _quantity(fields: Fields, name: str) -> str | None:
    value = fields.raw(name)
    if value is None:
        return None
    try:
        text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        parse_quantity(text)
    except ValueError:
        reason = "is no quantity that Tidegate reads"
        fields.note(name, Kind.LEFT_OUT, reason, "write a plain one, such as 500m, 2 or 512Mi, and convert again")
        return None
    return text


RAW: Final = ("xgboost", "lightgbm")
"""Runtimes whose models others ask for what the library predicts by itself: probabilities, of a classifier."""
FOLDERS: Final = ("mlflow",)
"""Runtimes whose models are folders."""


def model_of(fields: Fields, name: str, uri: str, runtime: str) -> dict[str, Any]:
    """The block `model`, and notes: where the URI seems to name a folder, and where `predict` means something else."""
    path = f"file://{uri}" if uri.startswith("/") else uri
    folder = "." not in path.rstrip("/").rpartition("/")[2] or path.endswith("/")
    if folder and runtime not in FOLDERS:
        fields.note(
            name,
            Kind.DIFFERENT,
            "seems to name a folder, where exactly one file of the runtime's formats may lie, or one called model",
            "docs/runtimes.md names the formats",
        )
    if runtime in RAW:
        fields.note(
            name,
            Kind.DIFFERENT,
            "may be a classifier, which there answers probabilities; Tidegate answers labels",
            "clients that want probabilities ask for the output predict_proba",
        )
    return {"uri": path, "runtime": runtime}
