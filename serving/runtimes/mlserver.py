"""An `mlserver.MLModel` as it is: `runtime: mlserver` with `class: module:Class`.

It is made with `ModelSettings`: those of `model-settings.json` in the folder if there is one, with the rollout's name
and the class of the manifest, and with `MLSERVER_MODEL_…` variables as at home. Then `await load()`. Every request
reaches `await predict(…)` as the `InferenceRequest` that MLServer makes of it, with content types, parameters and the
request's headers; its codecs work on it.

https://docs.seldon.ai/mlserver/user-guide/custom
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.errors import BadPrediction, RequestError, UnloadableModel
from serving.runtimes.base import Answer, Tensors
from serving.runtimes.hosted import Loop, construct, datatype, flat, package, refusal, require_class, signature, tensor
from serving.spec import ModelSource

SETTINGS: Final = "model-settings.json"


def load(path: Path, source: ModelSource, name: str) -> "MLServerModel":
    """Make the model of its class, and load it. Raises `ModelLoadError`."""
    mlserver = package("mlserver", "mlserver")
    kind = require_class(path, source, mlserver.MLModel)
    try:
        settings = _settings(mlserver, path, kind, name)
    except Exception as error:
        raise UnloadableModel(f"the settings of {source.class_name} cannot be made: {error}") from error
    model = construct(kind, path, name, {_first_parameter(kind): settings})
    served = MLServerModel(mlserver, model, Loop(), source)
    served.load()
    return served


class MLServerModel:
    """An `mlserver.MLModel`, ready to answer once it was loaded."""

    def __init__(self, mlserver: Any, model: Any, loop: Loop, source: ModelSource) -> None:
        self._types = mlserver.types
        self._tools = package("mlserver.utils", "mlserver")
        self._context = package("mlserver.context", "mlserver").model_context
        self._errors = (mlserver.errors.MLServerError, package("starlette.exceptions", "mlserver").HTTPException)
        """What has a status of its own."""
        self._model = model
        self._loop = loop
        self.signature = signature("mlserver", source.inputs, documents=False)

    def load(self) -> None:
        """Let the model load itself. Raises `UnloadableModel`."""
        kind = type(self._model).__name__
        try:
            self._model.ready = self._loop.run(self._in_context(self._model.load))
        except BaseException as error:
            raise UnloadableModel(f"{kind} raised {type(error).__name__} in load(): {error}") from error
        if not self._model.ready:
            raise UnloadableModel(f"load() of {kind} returned {self._model.ready!r}: it must return True")

    def predict(self, tensors: Tensors, outputs: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """See `LoadedModel.predict`."""
        try:
            request = self._request(tensors, outputs)
        except ValueError as error:  # pydantic's: parameters such as content_type have types
            raise RequestError(400, "invalid_request", f"MLServer does not take the request: {error}") from error
        try:
            response = self._loop.run(self._in_context(self._model.predict, request))
        except self._errors as error:
            refused = refusal(error.status_code, str(getattr(error, "detail", error)))
            if refused is None:
                raise
            raise refused from error
        if not isinstance(response, self._types.InferenceResponse):
            raise BadPrediction(f"{type(self._model).__name__} answered a {type(response).__name__}")
        return self._answer(response)

    def _request(self, tensors: Tensors, outputs: tuple[str, ...]) -> Any:
        types = self._types
        inputs = [
            types.RequestInput(
                name=name,
                shape=list(array.shape),
                datatype=datatype(array),
                data=flat(array),
                parameters=_parameters(types, tensors.input_parameters.get(name)),
            )
            for name, array in tensors.arrays.items()
        ]
        parameters = {key: value for key, value in tensors.parameters.items() if key != "headers"}
        request = types.InferenceRequest(
            id=tensors.id or self._tools.generate_uuid(),
            inputs=inputs,
            outputs=[types.RequestOutput(name=name) for name in outputs] or None,
            parameters=_parameters(types, parameters),
        )
        return self._tools.insert_headers(request, dict(tensors.headers))

    def _answer(self, response: Any) -> Answer:
        self._tools.extract_headers(response)  # no other protocol has headers of a model's: they are left out
        outputs, own = {}, {}
        for output in response.outputs:
            kind = getattr(output.datatype, "value", output.datatype)
            outputs[output.name] = tensor(output.name, kind, output.shape, output.data.root)
            if output.parameters is not None:
                own[output.name] = output.parameters.model_dump(exclude_none=True)
        parameters = {} if response.parameters is None else response.parameters.model_dump(exclude_none=True)
        return Answer(outputs, parameters, {name: said for name, said in own.items() if said})

    async def _in_context(self, method: Any, *arguments: Any) -> Any:
        """Call the model where `mlserver.log` knows whose metrics it gets."""
        with self._context(self._model.settings):
            return await method(*arguments)


def _settings(mlserver: Any, path: Path, kind: type, name: str) -> Any:
    file = path / SETTINGS
    if file.is_file():
        settings = mlserver.ModelSettings.parse_file(str(file))
        settings.implementation_ = f"{kind.__module__}.{kind.__name__}"
        settings.name = name
    else:
        settings = mlserver.ModelSettings(implementation=kind, name=name)
    if settings.parameters is None:
        settings.parameters = package("mlserver.settings", "mlserver").ModelParameters()
    if settings.parameters.uri is None:
        settings.parameters.uri = str(path)
    return settings


def _first_parameter(kind: type) -> str:
    """What the constructor calls the settings."""
    return next(iter(inspect.signature(kind).parameters), "settings")


def _parameters(types: Any, values: Mapping[str, Any] | None) -> Any:
    return types.Parameters(**values) if values else None
