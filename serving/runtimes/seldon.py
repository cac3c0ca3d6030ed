"""A component class of Seldon Core v1 as it is: `runtime: seldon` with `class: module:Class`.

`seldon_core` itself calls it (`seldon_core.seldon_methods.predict`), so that `predict(X, names, meta)`, `predict_raw`,
`class_names`, `tags` and `metrics` mean what they mean at home. A request becomes the message that Seldon's clients
send: `{"data": {"names": […], "ndarray": […]}, "meta": {"puid": …, "tags": {…}}}`. Such a message may also be the body
of a v1 request; then the answer is one too.

https://docs.seldon.ai/seldon-core-1/configuration/wrappers-and-sdks/python-language-wrapper/python_component
"""

import json
import os
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.errors import BadPrediction, NotAnEstimator, RequestError, UnloadableModel
from serving.runtimes.base import Answer, Tensors
from serving.runtimes.hosted import construct, package, refusal, regular, require_class, signature
from serving.spec import InputSpec, ModelSource

PARAMETERS: Final = "PREDICTIVE_UNIT_PARAMETERS"
"""The variable with the constructor's parameters, as Seldon Core's operator writes it."""
MESSAGES: Final = ("data", "jsonData", "strData", "binData")
"""The fields that a Seldon message has one of."""
PREDICT: Final = "predict"


class Metrics:
    """Where `seldon_core` counts what a component says of itself. The numbers are in its answers, and kept nowhere."""

    def update(self, metrics: Any, method: str) -> None:
        """Take the metrics of one call."""


def load(path: Path, source: ModelSource, name: str) -> "SeldonModel":
    """Make the component of its class, and load it. Raises `ModelLoadError`."""
    methods = package("seldon_core.seldon_methods", "seldon-core")
    kind = require_class(path, source)
    if not any(callable(getattr(kind, method, None)) for method in (PREDICT, "predict_raw")):
        raise NotAnEstimator(f"{source.class_name} has no predict method")
    component = construct(kind, path, name, _parameters(os.environ.get(PARAMETERS)))
    if callable(getattr(component, "load", None)):
        try:
            component.load()
        except NotImplementedError:
            pass
        except BaseException as error:
            raise UnloadableModel(f"{source.class_name} raised {type(error).__name__} in load(): {error}") from error
    return SeldonModel(methods, component, source.inputs)


def _parameters(text: str | None) -> Mapping[str, Any]:
    """The constructor's parameters, of the types that are written beside them. Raises `UnloadableModel`."""
    if text is None:
        return {}
    parse = package("seldon_core.microservice", "seldon-core and setuptools<81").parse_parameters
    try:
        given: Mapping[str, Any] = parse(json.loads(text))
    except Exception as error:
        said = getattr(error, "message", error)
        raise UnloadableModel(f"the variable {PARAMETERS} cannot be read: {said}") from error
    return given


class SeldonModel:
    """A Seldon Core component, ready to answer."""

    def __init__(self, methods: Any, component: Any, inputs: tuple[InputSpec, ...]) -> None:
        """`inputs` of the manifest name the columns."""
        self._methods = methods
        self._component = component
        self._metrics = Metrics()
        self._names = [one.name for one in inputs]
        self.signature = signature("seldon", (), documents=True)

    def predict(self, tensors: Tensors, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:  # noqa: ARG002 - it has one
        """See `LoadedModel.predict`."""
        document = tensors.document
        if document is None:
            names, rows = self._table(tensors.arrays)
            return self._answer(self._ask(names, rows, {"puid": tensors.id, "tags": dict(tensors.parameters)}))
        if any(field in document for field in MESSAGES):
            answer = self._call(document)
            return Answer(_recorded(answer), document=answer)
        instances = document.get("instances")
        if type(instances) is not list:
            known = ", ".join(MESSAGES)
            raise RequestError(400, "missing_input", f"send instances, or a Seldon message, which has one of {known}")
        names, rows = self._rows(instances)
        answer = self._ask(names, rows, {})
        return Answer(_recorded(answer), document={"predictions": _payload(answer)})

    def _ask(self, names: Sequence[str], rows: Any, meta: Mapping[str, Any]) -> dict[str, Any]:
        said = {key: value for key, value in meta.items() if value}
        return self._call({"data": {"names": list(names), "ndarray": rows}, "meta": said})

    def _call(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._methods.predict(self._component, message, self._metrics)
        except self._methods.SeldonMicroserviceException as error:
            raise refusal(error.status_code, str(error.message)) or error from error
        if not isinstance(answer, dict):  # predict_raw may answer a protobuf message
            answer = self._methods.seldon_message_to_json(answer)
        status = answer.get("status") or {}
        refused = refusal(status.get("code"), str(status.get("info") or status.get("reason") or "the model refused it"))
        if refused is not None:
            raise refused
        found: dict[str, Any] = answer
        return found

    def _table(self, arrays: Mapping[str, np.ndarray]) -> tuple[Sequence[str], list[Any]]:
        """Columns by name, or one tensor, as Seldon's `names` and `ndarray`. Raises `RequestError`."""
        if len(arrays) == 1 and not (self._names and set(arrays) == set(self._names)):
            (rows,) = arrays.values()
            return self._names, rows.tolist()
        names = self._names if set(self._names) == set(arrays) else list(arrays)
        columns = [arrays[name] for name in names]
        count = columns[0].size
        if any(column.shape not in ((count,), (count, 1)) for column in columns):
            raise RequestError(400, "invalid_shape", "send one tensor, or one of shape [rows] or [rows, 1] per column")
        lists = [column.ravel().tolist() for column in columns]
        return names, [list(row) for row in zip(*lists, strict=True)]

    def _rows(self, instances: list[Any]) -> tuple[Sequence[str], list[Any]]:
        """Instances of a v1 request: lists, or objects that all have the same names. Raises `RequestError`."""
        if not all(type(instance) is dict for instance in instances):
            return self._names, instances
        first = set(instances[0]) if instances else set()
        if any(instance.keys() != first for instance in instances):
            raise RequestError(400, "invalid_request", "instances must all have the same names")
        names = self._names if set(self._names) == first else list(instances[0]) if instances else []
        return names, [[instance[name] for name in names] for instance in instances]

    def _answer(self, message: Mapping[str, Any]) -> Answer:
        """The output `predict`, its columns' names, and the component's tags and metrics as parameters."""
        values, own = _values(message)
        meta = message.get("meta") or {}
        said = {key: meta[key] for key in ("tags", "metrics") if meta.get(key)}
        return Answer({PREDICT: values}, said, {PREDICT: own} if own else None)


def _payload(message: Mapping[str, Any]) -> Any:
    """What a message carries, as JSON has it."""
    data = message.get("data") or {}
    if "tensor" in data:
        return np.reshape(data["tensor"]["values"], data["tensor"]["shape"]).tolist()
    return next((message[field] for field in MESSAGES if field in message and field != "data"), data.get("ndarray"))


def _values(message: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """What a message carries as an output, and what is said of it. Raises `BadPrediction`."""
    payload = _payload(message)
    if "data" not in message:
        entry = np.empty(1, object)
        entry[0] = b64decode(payload) if "binData" in message else payload
        if "jsonData" not in message:
            return entry, {}
        entry[0] = json.dumps(payload)
        return entry, {"content_type": "json"}
    values = regular(payload)
    if values is None:
        raise BadPrediction(f"the component answered no regular array: {str(payload)[:60]}")
    names = message["data"].get("names")
    return values, {"names": list(names)} if names else {}


def _recorded(message: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The output `predict` for the records, where there is an array."""
    values = regular(_payload(message))
    return {} if values is None else {PREDICT: values}
