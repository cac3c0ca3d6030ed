"""Asks a server with `tritonclient[http]`, and prints what it understood as JSON. Runs in an environment of its own."""

import json
import sys

import ml_dtypes
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

HOST = sys.argv[1]
SETOSA = np.array([[5.1, 3.5, 1.4, 0.2]])
BYTES = [np.array([[b"\xff\x00", "ü".encode()], [b"", b"plain"]], object)]
NUMBERS = [
    np.array([[[0, 1], [-1, 2]]]).astype(kind)
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
]


def described(array):
    values = array.ravel().tolist()
    values = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": values}


def tensor(name, array, *, binary=True):
    one = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    one.set_data_from_numpy(array, binary_data=binary)
    return one


def iris(client, *, binary, model_version=""):
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("predict_proba", "predict")]
    answer = client.infer(
        "iris", [tensor("x", SETOSA, binary=binary)], model_version, outputs, request_id="7", priority=1, timeout=10**6
    )
    head = answer.get_response()
    return {
        "id": head["id"],
        "names": [output["name"] for output in head["outputs"]],
        "in_json": ["data" in output for output in head["outputs"]],
        "predict": described(answer.as_numpy("predict")),
        "label": int(answer.as_numpy("predict_proba").argmax()),
    }


def echoed(client, array, *, binary, name="x"):
    """What comes back of a tensor from the model that gives back what it gets."""
    outputs = [triton.InferRequestedOutput(name, binary_data=binary)]
    answer = client.infer("echo", [tensor(name, array, binary=binary)], outputs=outputs)
    return described(answer.as_numpy(name))


def refused(call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def about_iris():
    client = triton.InferenceServerClient(HOST)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": [
            client.is_model_ready("iris"),
            client.is_model_ready("iris", "v1"),
            client.is_model_ready("iris", "v2"),
            client.is_model_ready("other"),
        ],
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata("iris", "v1"),
        "json": iris(client, binary=False),
        "binary": iris(client, binary=True),
        "versioned": iris(client, binary=True, model_version="v1"),
        "no_outputs": described(client.infer("iris", [tensor("x", SETOSA)]).as_numpy("predict")),
        "other_version": refused(client.infer, "iris", [tensor("x", SETOSA)], "v2"),
        "bad_width": refused(client.infer, "iris", [tensor("x", SETOSA[:, :2])]),
        "not_finite": refused(client.infer, "iris", [tensor("x", SETOSA * np.nan)]),
        "classification": refused(
            client.infer,
            "iris",
            [tensor("x", SETOSA)],
            outputs=[triton.InferRequestedOutput("predict_proba", class_count=2)],
        ),
        "compressed": refused(client.infer, "iris", [tensor("x", SETOSA)], request_compression_algorithm="gzip"),
    }


def about_echo():
    client = triton.InferenceServerClient(HOST)
    several = [tensor("a", np.arange(6, dtype=np.int16).reshape(1, 2, 3)), tensor("b", BYTES[0])]
    answer = client.infer("echo", several, parameters={"mine": 3})
    brain = np.array([[1.5, -2.0, 3.140625]], ml_dtypes.bfloat16)
    return {
        "numbers": [
            [described(array), echoed(client, array, binary=True), np_to_triton_dtype(array.dtype)] for array in NUMBERS
        ],
        "in_json": [
            [described(array), echoed(client, array, binary=False), np_to_triton_dtype(array.dtype)]
            for array in NUMBERS
        ],
        "bytes": [[described(array), echoed(client, array, binary=True)] for array in BYTES],
        "text": echoed(client, np.array(["ü", "x"], object), binary=False),
        "brain": echoed(client, brain, binary=True),
        "several": {name: described(answer.as_numpy(name)) for name in "ab"},
        "parameters": answer.get_response()["parameters"],
    }


print(json.dumps(about_iris() if sys.argv[2] == "iris" else about_echo()))
