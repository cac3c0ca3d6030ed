"""Calls of the Open Inference Protocol over gRPC as bytes, and models that answer them."""

import numpy as np

from serving.protocol.tensors import make_reader
from serving.protocol.v2_grpc import GrpcCodec
from serving.protocol.v2_grpc_frames import frame, unframe
from serving.protocol.v2_grpc_messages import ModelInferRequest, ModelInferResponse
from serving.runtimes import OutputSpec, Signature, TensorSpec
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("predict", "INT64", (-1,)), OutputSpec("score", "FP64", (-1, 2)))
TABLE = Signature("test", 2, (), InputSpec("x"), OUTPUTS)
NAMED = Signature("test", 2, (InputSpec("a", "FP32"), InputSpec("b", "FP32")), InputSpec("x"), OUTPUTS)
ANY = Signature("test", None, (), InputSpec("x"), (), any_tensors=True, joint=False)

FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def tensors(*specs, joint=True):
    return Signature(
        "test",
        None,
        (),
        InputSpec("x"),
        (OutputSpec("y", "FP64", (-1,)),),
        tensors=tuple(TensorSpec(*spec) for spec in specs),
        joint=joint,
    )


def codec(signature, max_rows=100):
    return GrpcCodec("m", "v1", signature, make_reader(signature, max_rows))


def request(*inputs, outputs=(), **fields):
    """A message; each input is (name, datatype, shape, values), whose values are a list, or bytes."""
    message = ModelInferRequest(**fields)
    for name, datatype, shape, values in inputs:
        tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
        if isinstance(values, bytes):
            message.raw_input_contents.append(values)
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(values)
    for name in outputs:
        message.outputs.add(name=name)
    return message


def body(message):
    return frame(message.SerializeToString())


def answer_of(content):
    return ModelInferResponse.FromString(unframe(content))


def values_of(answer):
    """The outputs of an answer by name, as numpy arrays."""
    found = {}
    for place, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            found[output.name] = answer.raw_output_contents[place]
        else:
            found[output.name] = np.array(getattr(output.contents, FIELDS[output.datatype])).reshape([*output.shape])
    return found
