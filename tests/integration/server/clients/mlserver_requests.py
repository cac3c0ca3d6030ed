"""Asks a server with requests and answers that MLServer's codecs write and read, and prints what they understood as
JSON. Runs in an environment of its own."""

import json
import sys
from urllib.request import urlopen

import numpy as np
import pandas as pd
from mlserver.codecs import Base64Codec, NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.codecs.json import encode_to_json_bytes
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, RequestOutput

URL = f"http://{sys.argv[1]}/v2/models"
IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SETOSA = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def ask(model, request):
    """What a server answers, read as MLServer's own clients read it."""
    with urlopen(f"{URL}/{model}/infer", encode_to_json_bytes(request.model_dump()), timeout=30) as answer:
        return InferenceResponse.model_validate_json(answer.read())


def about_iris():
    table = np.array(SETOSA)
    frame = PandasCodec.encode_request(pd.DataFrame(SETOSA, columns=IRIS))
    both = NumpyRequestCodec.encode_request(table)
    both.outputs = [RequestOutput(name="predict_proba"), RequestOutput(name="predict")]
    probabilities, labels = ask("iris", both).outputs
    return {
        "numpy": NumpyRequestCodec.decode_response(ask("iris", NumpyRequestCodec.encode_request(table))).tolist(),
        "pandas": PandasCodec.decode_response(ask("iris", frame)).to_dict("list"),
        "labels": NumpyCodec.decode_output(probabilities).argmax(axis=1).tolist(),
        "predict": NumpyCodec.decode_output(labels).tolist(),
    }


def about_echo():
    request = InferenceRequest(
        id="7",
        parameters=Parameters(content_type="mine", extra=[1, {"deep": None}]),
        inputs=[
            StringCodec.encode_input("text", ["ü", "x"]),
            Base64Codec.encode_input("images", [b"\xff\x00", b""]),
            NumpyCodec.encode_input("numbers", np.arange(8, dtype=np.int32).reshape(2, 2, 2)),
        ],
    )
    answer = ask("echo", request)
    text, images, numbers = answer.outputs
    return {
        "id": answer.id,
        "parameters": answer.parameters.model_dump(),
        "text": StringCodec.decode_output(text),
        "images": [image.decode("latin-1") for image in Base64Codec.decode_output(images)],
        "content_types": [each.parameters and each.parameters.content_type for each in answer.outputs],
        "numbers": NumpyCodec.decode_output(numbers).tolist(),
    }


print(json.dumps(about_iris() if sys.argv[2] == "iris" else about_echo()))
