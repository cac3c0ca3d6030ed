"""Asks the model `one` (v1) behind a port with stubs that protoc made of the project's own .proto file."""

import sys

import grpc
import pytest

sys.path.insert(0, sys.argv[1])
import v2_grpc_pb2 as pb
import v2_grpc_pb2_grpc as stubs

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}") as channel:
    service = stubs.GRPCInferenceServiceStub(channel)
    assert service.ServerLive(pb.ServerLiveRequest()).live
    assert service.ServerReady(pb.ServerReadyRequest()).ready
    assert service.ServerMetadata(pb.ServerMetadataRequest()).name == "tidegate"
    assert service.ModelReady(pb.ModelReadyRequest(name="one", version="v1")).ready
    assert service.ModelMetadata(pb.ModelMetadataRequest(name="one")).versions == ["v1"]
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP64", shape=[2, 2], contents=pb.InferTensorContents(fp64_contents=[1, 2, 3, 4])
    )
    answer = service.ModelInfer(pb.ModelInferRequest(model_name="one", id="7", inputs=[tensor]))
    (output,) = answer.outputs
    assert (answer.id, output.name, output.datatype, [*output.shape]) == ("7", "sum", "FP64", [2])
    assert [*output.contents.fp64_contents] == [3.0, 7.0]
    assert not answer.raw_output_contents
    with pytest.raises(grpc.RpcError) as caught:
        service.ModelReady(pb.ModelReadyRequest(name="one", version="v2"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
print("done")
