"""The messages of `v2_grpc.proto`, as classes.

They stand in a descriptor pool of their own. The usual generated code would put them into protobuf's default pool,
where the same protocol may be defined only once in a process: a model that brings `kserve`, `mlserver` or
`tritonclient` along could not be loaded.
"""

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from serving.errors import RequestError

_POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(
    files("serving.protocol").joinpath("v2_grpc.binpb").read_bytes()
).file:
    _POOL.AddSerializedFile(_file.SerializeToString())


# protobuf before 4.22, which `seldon-core` wants, has only the second.
_FACTORY: Any = message_factory.MessageFactory(_POOL)
_CLASS_OF = getattr(message_factory, "GetMessageClass", None) or _FACTORY.GetPrototype


def _message(name: str) -> Any:
    return _CLASS_OF(_POOL.FindMessageTypeByName(f"inference.{name}"))


ServerLiveResponse = _message("ServerLiveResponse")
ServerReadyResponse = _message("ServerReadyResponse")
ServerMetadataResponse = _message("ServerMetadataResponse")
ModelReadyRequest = _message("ModelReadyRequest")
ModelReadyResponse = _message("ModelReadyResponse")
ModelMetadataRequest = _message("ModelMetadataRequest")
ModelMetadataResponse = _message("ModelMetadataResponse")
ModelInferRequest = _message("ModelInferRequest")
ModelInferResponse = _message("ModelInferResponse")


def parse(kind: Any, content: bytes) -> Any:
    """The message of this class. Raises `RequestError`."""
    try:
        return kind.FromString(content)
    except DecodeError:
        raise RequestError(400, "invalid_message", f"the message is no {kind.DESCRIPTOR.full_name}") from None
