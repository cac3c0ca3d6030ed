"""Loads another copy of the protocol, whose module is named, and Tidegate's own into one process, and compares them.
Runs in an environment of its own."""

import sys
from importlib import import_module

other = import_module(sys.argv[1])
from serving.protocol import v2_grpc_messages as own  # noqa: E402 - the other copy comes first, as in a model's module

pool = own.ModelInferRequest.DESCRIPTOR.file.pool
services = (
    other.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    pool.FindServiceByName("inference.GRPCInferenceService"),
)
for method in services[1].methods:
    theirs = services[0].methods_by_name[method.name]
    assert (method.input_type.full_name, method.output_type.full_name) == (
        theirs.input_type.full_name,
        theirs.output_type.full_name,
    )
names = {method.input_type.name for method in services[1].methods} | {
    method.output_type.name for method in services[1].methods
}
for name in sorted(names | {"InferParameter", "InferTensorContents"}):
    theirs = {field.name: field for field in other.DESCRIPTOR.message_types_by_name[name].fields}
    for field in pool.FindMessageTypeByName(f"inference.{name}").fields:
        if field.name in theirs:  # MLServer's copy is older, and has fewer kinds of parameters
            found = theirs[field.name]
            assert (field.number, field.type, field.is_repeated) == (found.number, found.type, found.is_repeated), name
        else:
            assert field.name in ("double_param", "uint64_param"), f"{name}.{field.name}"
message = own.ModelInferRequest(model_name="m", raw_input_contents=[b"1"])
assert other.ModelInferRequest.FromString(message.SerializeToString()).model_name == "m"
print("done")
