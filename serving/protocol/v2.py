"""The Open Inference Protocol (v2), its inference request over REST, with the binary tensor extension.

https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

`docs/protocols.md` says what is read, answered and refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from serving.datatypes import datatype_of
from serving.errors import RequestError
from serving.protocol.base import Mixed, Query, Reader, Sent, default_outputs, json_name, read_object, shorten
from serving.protocol.binary import to_bytes
from serving.protocol.sent import Raw, parameters_of, read_input
from serving.protocol.text import BASE64, json_values
from serving.runtimes import Answer, Signature, Tensors

EXTENSIONS = ("binary_tensor_data",)
"""What is spoken beyond the protocol itself, as the server's metadata says it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an answer must echo, when that is more than an id: which outputs are wanted as bytes."""

    identity: str | None
    binary: bool
    differing: frozenset[str]
    """Outputs that are wanted the other way."""

    def as_bytes(self, output: str) -> bool:
        """Whether this output is wanted as bytes."""
        return self.binary != (output in self.differing)


class V2Codec:
    """`POST /v2/models/{name}/infer`."""

    def __init__(self, model: str, version: str, signature: Signature, reader: Reader) -> None:
        self._model = model
        self._version = version
        self._read = reader.from_inputs
        self._whole = not (signature.joint or signature.tabular)
        self._available = tuple(output.name for output in signature.outputs)
        self._default = default_outputs(signature)

    def decode(self, body: bytes | bytearray, json_bytes: bytes | None = None) -> Query:
        """Read an inference request. Raises `RequestError`."""
        raw = None if json_bytes is None else Raw.after(body, json_bytes)
        request = read_object(body if raw is None else raw.json)
        identity = request.get("id")
        if identity is not None and type(identity) is not str:
            raise RequestError(400, "invalid_request", f"id must be text, not {json_name(identity)}")
        inputs = request.get("inputs")
        if type(inputs) is not list or not inputs:
            raise RequestError(400, "missing_input", "inputs must be a list with at least one input")
        sent = [read_input(tensor, position, raw, whole=self._whole) for position, tensor in enumerate(inputs)]
        if raw is not None:
            raw.finish()
        wanted = request.get("outputs")
        outputs = self._outputs(wanted) if wanted else self._default
        echo: str | Wish | None = identity
        parameters = request.get("parameters")
        if wanted or parameters:
            echo = _wish(identity, wanted or (), parameters_of(request, "the request"))
        rows = self._read(sent)
        if self._whole and isinstance(rows, Tensors):
            rows = _keep_whole(rows, request, sent)
        return Query(rows, outputs, echo)

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes | Mixed:
        """The inference response. Raises `RequestError` for an output that was asked for and is not there."""
        echo = query.echo
        answer: dict[str, Any] = {"model_name": self._model, "model_version": self._version}
        if self._whole or type(echo) is Wish or type(outputs) is not dict:
            wish = echo if type(echo) is Wish else Wish(echo, binary=False, differing=frozenset())
            return _encode(answer, wish, query.outputs or tuple(outputs), outputs)
        if echo is not None:
            answer["id"] = echo
        answer["outputs"] = [_output(name, values) for name, values in outputs.items()]
        return orjson.dumps(answer)

    def _outputs(self, wanted: Any) -> tuple[str, ...]:
        if type(wanted) is not list:
            raise RequestError(400, "invalid_request", f"outputs must be a list, not {json_name(wanted)}")
        names: list[str] = []
        for output in wanted:
            name = output.get("name") if type(output) is dict else None
            if type(name) is not str or (name not in self._available and self._available):
                available = ", ".join(self._available) or "outputs with names"
                raise RequestError(400, "unknown_output", f"no output {shorten(name)}; the model has {available}")
            names.append(name)
        return tuple(dict.fromkeys(names))


def _wish(identity: str | None, wanted: Sequence[Any], parameters: Mapping[str, Any]) -> str | Wish | None:
    """How the outputs are wanted; the id alone if it is as JSON. Raises `RequestError`."""
    binary = _flag(parameters, "binary_data_output", "the request") or False
    differing = set()
    for output in wanted:
        name = output["name"]
        own = parameters_of(output, f"output {shorten(name)}")
        for refused in ("classification", "shared_memory_region"):
            if own.get(refused):
                raise RequestError(
                    400, "unsupported_parameter", f"output {shorten(name)}: {refused} is an extension not spoken here"
                )
        asked = _flag(own, "binary_data", f"output {shorten(name)}")
        if asked is not None and asked != binary:
            differing.add(name)
    return Wish(identity, binary, frozenset(differing)) if binary or differing else identity


def _flag(parameters: Mapping[str, Any], name: str, place: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and type(value) is not bool:
        raise RequestError(
            400, "invalid_request", f"{place}: the parameter {name} must be a boolean, not {json_name(value)}"
        )
    return value


def _keep_whole(tensors: Tensors, request: dict[str, Any], sent: Sequence[Sent]) -> Tensors:
    """The tensors with all that a model may want to know of the request."""
    inputs = zip(request["inputs"], sent, strict=True)
    return replace(
        tensors,
        parameters=parameters_of(request, "the request"),
        input_parameters={name: own for tensor, (name, *_) in inputs if (own := parameters_of(tensor, name))},
        id=request.get("id"),
    )


def _output(name: str, values: np.ndarray) -> dict[str, Any]:
    """One output as JSON."""
    datatype = datatype_of(values.dtype)
    output: dict[str, Any] = {"name": name, "shape": values.shape, "datatype": datatype}
    if datatype == "BYTES" and values.dtype.kind in "OS":
        output["data"], encoded = json_values(values.ravel())
        if encoded:
            output["parameters"] = {"content_type": BASE64}
    else:
        output["data"] = values.ravel().tolist()
    return output


def _encode(
    answer: dict[str, Any], wish: Wish, names: Sequence[str], outputs: Mapping[str, np.ndarray]
) -> bytes | Mixed:
    """An answer with outputs as bytes, or with parameters of the model's."""
    if wish.identity is not None:
        answer["id"] = wish.identity
    own: Mapping[str, Mapping[str, Any]] = {}
    if isinstance(outputs, Answer):
        own = outputs.output_parameters
        if outputs.parameters:
            answer["parameters"] = outputs.parameters
    parts: list[bytes] = []
    answer["outputs"] = []
    for name in names:
        if name not in outputs:
            raise RequestError(400, "unknown_output", f"no output {shorten(name)}; the model gave {', '.join(outputs)}")
        values = outputs[name]
        if wish.as_bytes(name):
            parts.append(to_bytes(values))
            output: dict[str, Any] = {"name": name, "shape": values.shape, "datatype": datatype_of(values.dtype)}
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output = _output(name, values)
        if name in own:
            output["parameters"] = {**own[name], **output.get("parameters", {})}
        answer["outputs"].append(output)
    try:
        head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise RequestError(500, "model_error", f"the model gave parameters that are no JSON: {error}") from error
    return Mixed(b"".join((head, *parts)), len(head)) if parts else head
