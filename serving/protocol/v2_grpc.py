"""The Open Inference Protocol (v2), its calls over gRPC.

https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md

`docs/protocols.md` says what is read, answered and refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np

from serving.datatypes import DTYPES, datatype_of
from serving.errors import RequestError
from serving.protocol import v2_grpc_messages as messages
from serving.protocol.base import Query, Reader, Sent, default_outputs, shorten
from serving.protocol.binary import entries, from_bytes, to_bytes
from serving.protocol.sent import MAX_RANK
from serving.protocol.v2_grpc_frames import SERVICE_PATH, frame, unframe
from serving.protocol.values import cast, entry
from serving.runtimes import Answer, Signature, Tensors

Unary = Callable[[bytes | bytearray], bytes]
"""From the body of a call to that of its answer. Raises `RequestError`."""

_CONTENTS: Final = {
    "BOOL": ("bool_contents", "BOOL"),
    "INT8": ("int_contents", "INT32"),
    "INT16": ("int_contents", "INT32"),
    "INT32": ("int_contents", "INT32"),
    "INT64": ("int64_contents", "INT64"),
    "UINT8": ("uint_contents", "UINT32"),
    "UINT16": ("uint_contents", "UINT32"),
    "UINT32": ("uint_contents", "UINT32"),
    "UINT64": ("uint64_contents", "UINT64"),
    "FP32": ("fp32_contents", "FP32"),
    "FP64": ("fp64_contents", "FP64"),
    "BYTES": ("bytes_contents", "BYTES"),
}
"""The field of each datatype that has one, and what its values are there."""

_NAMING: Final = frozenset(SERVICE_PATH + method for method in (b"ModelInfer", b"ModelReady", b"ModelMetadata"))
"""The calls that are about one model."""

_INT64: Final = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Echo:
    """What an answer must echo: the request's id, and whether the values came as bytes."""

    identity: str
    raw: bool


class GrpcCodec:
    """`ModelInfer`. Values come, and are answered, in `contents` or all of them as bytes."""

    def __init__(self, model: str, version: str, signature: Signature, reader: Reader) -> None:
        self._model = model
        self._version = version
        self._read = reader.from_inputs
        self._whole = not signature.joint
        self._available = tuple(output.name for output in signature.outputs)
        self._default = default_outputs(signature)

    def decode(self, body: bytes | bytearray, json_bytes: bytes | None = None) -> Query:  # noqa: ARG002 - no JSON here
        """Read a call. Raises `RequestError`."""
        request = messages.parse(messages.ModelInferRequest, unframe(body))
        check_model(request.model_name, request.model_version, self._model, self._version)
        raw = request.raw_input_contents
        inputs = request.inputs
        if not inputs:
            raise RequestError(400, "missing_input", "inputs must have at least one input")
        if raw and len(raw) != len(inputs):
            raise RequestError(
                400, "invalid_request", f"raw_input_contents has {len(raw)} entries for {len(inputs)} inputs"
            )
        sent = [_read_input(tensor, raw[place] if raw else None) for place, tensor in enumerate(inputs)]
        outputs = self._outputs(request.outputs) if request.outputs else self._default
        rows = self._read(sent)
        if self._whole and isinstance(rows, Tensors):
            rows = replace(
                rows,
                parameters=_parameters(request.parameters),
                input_parameters={each.name: _parameters(each.parameters) for each in inputs if each.parameters},
                id=request.id or None,
            )
        return Query(rows, outputs, Echo(request.id, bool(raw)))

    def encode(self, query: Query, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The answer. Raises `RequestError` for an output that was asked for and is not there."""
        echo: Echo = query.echo
        names = query.outputs or tuple(outputs)
        missing = [name for name in names if name not in outputs]
        if missing:
            raise RequestError(
                400, "unknown_output", f"no output {shorten(missing[0])}; the model gave {', '.join(outputs)}"
            )
        answer = messages.ModelInferResponse(model_name=self._model, model_version=self._version, id=echo.identity)
        datatypes = {name: datatype_of(outputs[name].dtype) for name in names}
        # Either all of them are bytes or none is, and FP16 cannot be anything else.
        raw = echo.raw or "FP16" in datatypes.values()
        for name, datatype in datatypes.items():
            values = outputs[name]
            output = answer.outputs.add(name=name, datatype=datatype, shape=values.shape)
            if raw:
                answer.raw_output_contents.append(to_bytes(values))
            else:
                getattr(output.contents, _CONTENTS[datatype][0]).extend(_values(values, datatype))
            if isinstance(outputs, Answer) and name in outputs.output_parameters:
                _set_parameters(output.parameters, outputs.output_parameters[name])
        if isinstance(outputs, Answer):
            _set_parameters(answer.parameters, outputs.parameters)
        return frame(answer.SerializeToString())

    def _outputs(self, wanted: Sequence[Any]) -> tuple[str, ...]:
        for output in wanted:
            if output.name not in self._available and (self._available or not output.name):
                available = ", ".join(self._available) or "outputs with names"
                raise RequestError(
                    400, "unknown_output", f"no output {shorten(output.name)}; the model has {available}"
                )
            for refused in ("classification", "shared_memory_region"):
                if refused in output.parameters:
                    raise RequestError(
                        400,
                        "unsupported_parameter",
                        f"output {shorten(output.name)}: {refused} is an extension not spoken here",
                    )
        return tuple(dict.fromkeys(output.name for output in wanted))


def other_calls(
    model: str, version: str, own_version: str, metadata: Mapping[str, Any], ready: Callable[[], bool]
) -> Mapping[str, Unary]:
    """What answers the methods beside `ModelInfer`, by their names. `metadata` is the model's, as REST has it."""
    described = messages.ModelMetadataResponse(**metadata).SerializeToString()
    server = messages.ServerMetadataResponse(name="tidegate", version=own_version).SerializeToString()

    def constant(answer: bytes) -> Unary:
        framed = frame(answer)

        def call(body: bytes | bytearray) -> bytes:
            unframe(body)
            return framed

        return call

    def server_ready(body: bytes | bytearray) -> bytes:
        unframe(body)
        return frame(messages.ServerReadyResponse(ready=ready()).SerializeToString())

    def model_ready(body: bytes | bytearray) -> bytes:
        request = messages.parse(messages.ModelReadyRequest, unframe(body))
        check_model(request.name, request.version, model, version)
        return frame(messages.ModelReadyResponse(ready=ready()).SerializeToString())

    def model_metadata(body: bytes | bytearray) -> bytes:
        request = messages.parse(messages.ModelMetadataRequest, unframe(body))
        check_model(request.name, request.version, model, version)
        return frame(described)

    return {
        "ServerLive": constant(messages.ServerLiveResponse(live=True).SerializeToString()),
        "ServerReady": server_ready,
        "ServerMetadata": constant(server),
        "ModelReady": model_ready,
        "ModelMetadata": model_metadata,
    }


def named_model(url: bytes, body: bytes | bytearray) -> str:
    """The model that a call names in its message; nothing if it names none. Raises `RequestError`.

    All messages that do have the name in field 1; what else they have is skipped.
    """
    if url not in _NAMING:
        return ""
    name: str = messages.parse(messages.ModelReadyRequest, unframe(body)).name
    return name


def check_model(name: str, version: str, own_name: str, own_version: str) -> None:
    """Raise `RequestError` unless a call is for this model, or does not say for which."""
    if name not in ("", own_name):
        raise RequestError(404, "unknown_model", f"there is no model {shorten(name)} here; this is {shorten(own_name)}")
    if version not in ("", own_version):
        raise RequestError(
            404,
            "unknown_version",
            f"there is no version {shorten(version)} here; this is {shorten(own_version)} (without one in the request, "
            "the traffic decides)",
        )


def _read_input(tensor: Any, raw: bytes | None) -> Sent:
    name, datatype, shape = tensor.name, tensor.datatype, [*tensor.shape]
    if len(name) > 256:
        raise RequestError(400, "invalid_request", "the name of an input has at most 256 characters")
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise RequestError(
            400, "invalid_shape", f"input {name}: shape must have at most {MAX_RANK} counts, none below 0"
        )
    if datatype not in DTYPES and datatype != "BF16":
        known = ", ".join((*DTYPES, "BF16"))
        raise RequestError(400, "invalid_datatype", f"input {name}: datatype {shorten(datatype)} is not one of {known}")
    if raw is None:
        return name, shape, datatype, _read_contents(tensor.contents, datatype, shape, name)
    if tensor.HasField("contents"):
        raise RequestError(
            400, "invalid_request", f"input {name} has contents, and raw_input_contents is there as well"
        )
    values = from_bytes(memoryview(raw), datatype, prod(shape), name)
    return name, shape, "FP32" if datatype == "BF16" else datatype, values


def _read_contents(contents: Any, datatype: str, shape: list[int], name: str) -> np.ndarray:
    if datatype not in _CONTENTS:
        raise RequestError(400, "invalid_datatype", f"input {name}: {datatype} comes in raw_input_contents only")
    field, held_as = _CONTENTS[datatype]
    values = getattr(contents, field)
    if len(values) != prod(shape):
        raise RequestError(
            400, "invalid_shape", f"input {name} has {len(values)} values in {field}; its shape needs {prod(shape)}"
        )
    if datatype == "BYTES":
        return entries([*values])
    return cast(np.array(values, DTYPES[held_as]), datatype, partial(entry, name, prod(shape[1:])))


def _values(values: np.ndarray, datatype: str) -> list[Any]:
    flat: list[Any] = values.ravel().tolist()
    if datatype != "BYTES":
        return flat
    return [value if type(value) is bytes else str(value).encode() for value in flat]


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    choices = {name: (value, value.WhichOneof("parameter_choice")) for name, value in parameters.items()}
    return {name: getattr(value, choice) for name, (value, choice) in choices.items() if choice}


def _set_parameters(target: Any, parameters: Mapping[str, Any]) -> None:
    """Write a model's own parameters; what the protocol has no type for is written as text."""
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int) and _INT64.min <= value <= _INT64.max:
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        elif value is not None:
            target[name].string_param = str(value)
