"""The OpenAPI document of a model's named fields: `GET /api/v1/models/{name}/openapi.json`.

https://spec.openapis.org/oas/v3.1.0.html, whose schemas are JSON Schema 2020-12.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from serving.datatypes import DTYPES
from serving.protocol.named import PROBABILITIES
from serving.runtimes import OutputSpec, Signature, TensorSpec
from serving.runtimes.warmup import ones
from serving.spec import InputSpec

Json = dict[str, Any]

_FORMATS: Final = {"FP64": "double", "FP32": "float"}
_TYPES: Final = {"f": "number", "i": "integer", "u": "integer", "b": "boolean", "O": "string"}
_UNIQUE: Final = "The rows of one request differ in it."
_COERCED: Final = (
    "Values of another type are taken where they can be read as the declared one without a loss, such as text that is "
    "a number."
)
_FAILURES: Final = {
    "400": "The request does not fit the model. `details` names rows and fields.",
    "413": "The body is too large, or has too many rows.",
    "500": "The model raised.",
    "503": "No version is ready, or too many requests wait. Ask again after `retry-after` seconds.",
    "504": "The model took too long.",
    "default": "Anything else that went wrong.",
}


def document(model: str, version: str, signature: Signature, max_rows: int, own: str | None = None) -> Json:
    """The document; `own` is the path of the model's own at which named fields are asked for, if there is one.

    A model whose columns have no names is described as it is asked in v1.
    """
    by_name = bool(signature.features) or not signature.tabular
    operation = _named(signature, max_rows) if by_name else _unnamed(signature, max_rows)
    path = (own or f"/api/v1/models/{model}/predict") if by_name else f"/v1/models/{model}:predict"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model,
            "version": version,
            "description": f"Predictions of the model {model}." + (f" {_COERCED}" if signature.coerces else ""),
        },
        "servers": [{"url": "/"}],
        "paths": {
            path: {
                "post": {
                    "operationId": "predict",
                    "summary": "Ask for predictions.",
                    "requestBody": {"required": True, "content": _content(operation.pop("request"))},
                    "responses": {
                        "200": {
                            "description": "The predictions.",
                            "headers": {
                                "tidegate-version": _header("The version that answered."),
                                "x-request-id": _header("Finds the request again."),
                            },
                            "content": _content(operation.pop("answer")),
                        },
                        **{
                            status: {"description": text, "content": _content(_ref("Error"))}
                            for status, text in _FAILURES.items()
                        },
                    },
                }
            }
        },
        "components": {"schemas": {**operation, "Error": _error()}},
    }


def field_schema(spec: InputSpec) -> Json:
    """What one value of a column, or of a tensor, must be."""
    dtype = DTYPES[spec.datatype]
    kind = _TYPES[dtype.kind]
    schema: Json = {"type": [kind, "null"] if spec.nullable else kind}
    if dtype.kind in "fiu":
        schema["format"] = _FORMATS.get(spec.datatype, spec.datatype.lower() if dtype.kind in "iu" else "half")
        schema |= _bounds(spec, dtype)
    if spec.values:
        schema["enum"] = [*spec.values, *([None] if spec.nullable else [])]
    description = " ".join(text for text in (spec.description, _UNIQUE if spec.unique else "") if text)
    if description:
        schema["description"] = description
    if spec.default is not None:
        schema["default"] = spec.default
    if spec.example is not None:
        schema["examples"] = [spec.example]
    return schema


def inputs_of(signature: Signature) -> list[tuple[InputSpec, tuple[int, ...]]]:
    """The fields of a row, and the shape of what each has in one: () for a single value."""
    if signature.features:
        return [(feature, ()) for feature in signature.features]
    return [(_as_input(tensor), tensor.shape[1:]) for tensor in signature.tensors]


def row_schema(signature: Signature) -> Json:
    """What a row must be, as an object."""
    fields = inputs_of(signature)
    if not fields:
        return {"type": "object", "minProperties": 1, "description": "One row: a value or nested list for each input."}
    return {
        "type": "object",
        "properties": {spec.name: _nested(field_schema(spec), shape) for spec, shape in fields},
        "required": [spec.name for spec, _ in fields if needed(spec, signature)],
        "additionalProperties": False,
    }


def needed(spec: InputSpec, signature: Signature) -> bool:
    """Whether a row must have the field."""
    return not signature.tabular or (spec.default is None and not spec.nullable)


def _named(signature: Signature, max_rows: int) -> Json:
    """The schemas of named fields; those of the request and the answer are called so."""
    prediction, probabilities = _answers(signature)
    version: Json = {"model_version": {"type": "string", "description": "The version that answered."}}
    one = {"prediction": prediction, **probabilities, **version}
    several = {
        "predictions": _list(prediction),
        **{name: _list(each) for name, each in probabilities.items()},
        **version,
    }
    if signature.declared:
        fields = {output.name: _output(output, ()) for output in signature.outputs}
        one, several = {**fields, **version}, {"predictions": _list(_object(fields)), **version}
    schemas = {"Row": row_schema(signature), "Prediction": _object(one)}
    if "instances" in {spec.name for spec, _ in inputs_of(signature)}:
        return {"request": _ref("Row"), "answer": _ref("Prediction"), **schemas}
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": max_rows}
    return {
        "request": {"anyOf": [_ref("Row"), _ref("Rows")]},
        "answer": {"anyOf": [_ref("Prediction"), _ref("Predictions")]},
        **schemas,
        "Rows": {
            "type": "object",
            "properties": {"instances": rows},
            "required": ["instances"],
            "description": "Several rows. What stands beside them is not looked at.",
        },
        "Predictions": {**_object(several), "description": "The answer to several rows, in their order."},
    }


def _unnamed(signature: Signature, max_rows: int) -> Json:
    """The schemas of v1 for a table whose columns have no names."""
    prediction, _ = _answers(signature)
    row: Json = {"type": "array", "items": field_schema(signature.tensor), "minItems": 1}
    if signature.width is not None:
        row |= {"minItems": signature.width, "maxItems": signature.width}
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": max_rows}
    return {
        "request": {"type": "object", "properties": {"instances": rows}, "required": ["instances"]},
        "answer": _object({"predictions": _list(prediction)}),
        "Row": row,
    }


def _answers(signature: Signature) -> tuple[Json, Json]:
    """What the prediction for a row is, and its probabilities by their name, if there are any."""
    outputs = {output.name: output for output in signature.outputs}
    if not outputs:
        return {}, {}
    if not signature.tabular:
        values = {name: _output(output, signature.classes) for name, output in outputs.items()}
        return (_object(values) if len(values) > 1 else next(iter(values.values()))), {}
    first = next(iter(outputs.values()))
    # Without a first row that was answered, nobody knows yet what comes.
    prediction = {} if ones(signature) is None else _output(first, signature.classes)
    if not signature.classes or PROBABILITIES not in outputs:
        return prediction, {}
    likely = {"type": ["number", "null"], "description": "From 0 to 1."}
    return prediction, {"probabilities": _object(dict.fromkeys(signature.classes, likely))}


def _output(output: OutputSpec, classes: tuple[str, ...]) -> Json:
    kind = DTYPES[output.datatype].kind
    schema: Json = {"type": ["number", "null"] if kind == "f" else _TYPES[kind]}
    labels = output.labels or (classes if kind == "O" else ())
    if labels:
        schema["enum"] = list(labels)
    described = {"description": output.description} if output.description else {}
    return _nested(schema, output.shape[1:]) | described


def _as_input(tensor: TensorSpec) -> InputSpec:
    return replace(tensor.rules or InputSpec(tensor.name), datatype=tensor.datatype, shape=tensor.shape)


def _bounds(spec: InputSpec, dtype: np.dtype[Any]) -> Json:
    """The least and the largest number. Those of FP64 are left out: JSON has no more."""
    least, largest = spec.min, spec.max
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        least, largest = bounds.min if least is None else least, bounds.max if largest is None else largest
    elif dtype != np.float64:
        greatest = float(np.finfo(dtype).max)
        least, largest = -greatest if least is None else least, greatest if largest is None else largest
    return {
        **({} if least is None else {"minimum": _whole(least)}),
        **({} if largest is None else {"maximum": _whole(largest)}),
    }


def _whole(number: float) -> float:
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


def _nested(schema: Json, shape: tuple[int, ...]) -> Json:
    for size in reversed(shape):
        schema = {"type": "array", "items": schema, **({} if size < 0 else {"minItems": size, "maxItems": size})}
    return schema


def _object(properties: Mapping[str, Json]) -> Json:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _header(description: str) -> Json:
    return {"description": description, "schema": {"type": "string"}}


def _error() -> Json:
    problem = {
        "row": {"type": "integer", "description": "Counted from 0."},
        "field": {"type": "string"},
        "problem": {"type": "string"},
    }
    return {
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "What is wrong, for people."},
            "code": {"type": "string", "description": "The same for programs."},
            "request_id": {"type": "string"},
            "details": {**_list(_object(problem)), "description": "What is wrong in which row and field; up to 10."},
        },
        "required": ["error", "code", "request_id"],
    }
