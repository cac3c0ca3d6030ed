"""A `kserve.Model` as it is: `runtime: kserve` with `class: module:Class`.

A v1 request reaches it as the dict that was sent, every other one as `kserve.InferRequest`, both with the request's
headers, through the model's own `__call__`: `preprocess`, `predict`, `postprocess`. What `kserve.ModelServer` makes of
errors is made of them here.

https://kserve.github.io/website/docs/reference/python-runtime-sdk
"""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from serving.errors import BadPrediction, UnloadableModel
from serving.runtimes.base import Answer, Tensors
from serving.runtimes.hosted import (
    Loop,
    construct,
    datatype,
    flat,
    package,
    refusal,
    regular,
    require_class,
    settled,
    signature,
    tensor,
)
from serving.spec import ModelSource

PREDICTIONS = "predictions"
"""What the output is called that stands in a v1 answer."""


def load(path: Path, source: ModelSource, name: str) -> "KServeModel":
    """Make the model of its class, and load it unless it did that itself. Raises `ModelLoadError`."""
    kserve = package("kserve", "kserve")
    kind = require_class(path, source, kserve.Model)
    model = construct(kind, path, name)
    loop = Loop()
    try:
        if not model.ready:
            loop.run(settled(model.load()))
        if not model.ready:
            raise UnloadableModel(f"{source.class_name} is not ready after its load(): it must set self.ready")
        model.start()
        if model.engine:
            loop.run(model.start_engine())
    except UnloadableModel:
        raise
    except BaseException as error:
        raise UnloadableModel(f"{source.class_name} raised {type(error).__name__} in load(): {error}") from error
    return KServeModel(kserve, model, loop, source)


class KServeModel:
    """A `kserve.Model`, ready to answer."""

    def __init__(self, kserve: Any, model: Any, loop: Loop, source: ModelSource) -> None:
        self._kserve = kserve
        self._model = model
        self._loop = loop
        self._statuses = {
            kserve.errors.InvalidInput: HTTPStatus.BAD_REQUEST,
            kserve.errors.ModelNotFound: HTTPStatus.NOT_FOUND,
            kserve.errors.ModelNotReady: HTTPStatus.SERVICE_UNAVAILABLE,
            NotImplementedError: HTTPStatus.NOT_IMPLEMENTED,
        }
        self._http = package("starlette.exceptions", "kserve").HTTPException
        self.signature = signature("kserve", source.inputs, documents=True)

    def predict(self, tensors: Tensors, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        payload = self._request(tensors, outputs) if tensors.document is None else tensors.document
        try:
            response = self._loop.run(self._model(payload, dict(tensors.headers)))
        except Exception as error:
            if isinstance(error, self._http):  # it says itself which status it wants
                refused = refusal(error.status_code, str(error.detail))
            else:
                status = next((code for kind, code in self._statuses.items() if isinstance(error, kind)), None)
                refused = refusal(status, str(error))
            if refused is None:
                raise
            raise refused from error
        # Beside the response there are headers for it, which no other protocol has: they are left out.
        answer = response[0] if isinstance(response, tuple) else response
        return self._answer(answer, whole=tensors.document is not None)

    def _request(self, tensors: Tensors, outputs: tuple[str, ...]) -> Any:
        inputs = [
            self._kserve.InferInput(
                name, list(array.shape), datatype(array), flat(array), dict(tensors.input_parameters.get(name, {}))
            )
            for name, array in tensors.arrays.items()
        ]
        wanted = [self._kserve.protocol.infer_type.RequestedOutput(name) for name in outputs]
        # How outputs are sent is the protocol's business: the class need not pack them.
        parameters = {name: value for name, value in tensors.parameters.items() if name != "binary_data_output"}
        return self._kserve.InferRequest(
            self._model.name, inputs, tensors.id, parameters=parameters, request_outputs=wanted or None
        )

    def _answer(self, response: Any, *, whole: bool) -> Answer:
        if isinstance(response, self._kserve.InferResponse):
            found = self._from_response(response)
            return Answer(found, found.parameters, found.output_parameters, _rest(response)) if whole else found
        if not isinstance(response, dict):
            raise BadPrediction(f"{type(self._model).__name__} answered a {type(response).__name__}")
        predictions = regular(response.get(PREDICTIONS))
        if whole:
            return Answer({} if predictions is None else {PREDICTIONS: predictions}, document=response)
        if "outputs" in response:
            return self._from_response(self._kserve.InferResponse.from_rest(response))
        if predictions is None:
            raise BadPrediction(
                f"{type(self._model).__name__} answered an object of {', '.join(map(str, response)) or 'nothing'} to a "
                "request that was not v1: it needs an InferResponse, or regular predictions"
            )
        return Answer({PREDICTIONS: predictions})

    def _from_response(self, response: Any) -> Answer:
        outputs = {}
        for output in response.outputs:
            array = output.as_numpy()
            outputs[output.name] = tensor(output.name, output.datatype, array.shape, array)
        parameters = {
            output.name: {name: value for name, value in output.parameters.items() if name != "binary_data_size"}
            for output in response.outputs
            if output.parameters
        }
        return Answer(outputs, response.parameters, {name: own for name, own in parameters.items() if own})


def _rest(response: Any) -> dict[str, Any]:
    """An `InferResponse` to a v1 request, as the v2 JSON that KServe sends then."""
    for output in response.outputs:
        array = output.as_numpy()
        output.set_data_from_numpy(array, binary_data=False)
    body: dict[str, Any] = response.to_rest()[0]
    return body
