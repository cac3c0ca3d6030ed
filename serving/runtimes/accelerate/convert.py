"""From a loaded model to ONNX graphs that may do the same. Whether they do is for others to find out."""

import json
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final

from serving.runtimes.accelerate import lightgbm
from serving.runtimes.accelerate.errors import NotConvertible
from serving.runtimes.accelerate.graphs import with_exact_trees
from serving.runtimes.files import library


def graphs(model: Any, runtime: str) -> Iterator[Any]:
    """Graphs of a loaded model, the most exact first, in onnx's own type. Raises `NotConvertible`.

    Each has one input, the table. Its outputs are the label and the probabilities of a classifier, or a number.
    """
    yield from _CONVERTERS[runtime](model)


def _sklearn(model: Any) -> Iterator[Any]:
    """All of it in FP64 but for trees, which compare in FP32; and all of it in FP32."""
    skl2onnx = library("skl2onnx", "skl2onnx", "accelerate")
    kinds = library("skl2onnx.common.data_types", "skl2onnx", "accelerate")
    estimator, width = model.estimator, model.signature.width
    if width is None:
        raise NotConvertible("it does not say how many columns it takes")
    _register_boosters()
    options = {id(estimator): {"zipmap": False}} if "predict_proba" in _outputs(model) else None

    def convert(kind: Any) -> Any:
        return skl2onnx.convert_sklearn(
            estimator, initial_types=[("X", kind([None, width]))], options=options, target_opset=_OPSETS
        )

    single = _attempt("skl2onnx", convert, kinds.FloatTensorType)
    try:
        double = with_exact_trees(convert(kinds.DoubleTensorType), single)
    except Exception:  # noqa: BLE001 - not every converter knows FP64
        double = None
    if double is not None:
        yield double
    yield single


def _xgboost(model: Any) -> Iterator[Any]:
    """In FP32, in which XGBoost itself computes."""
    onnxmltools = library("onnxmltools", "onnxmltools", "accelerate")
    kinds = library("onnxmltools.convert.common.data_types", "onnxmltools", "accelerate")
    best = model.booster.attr("best_iteration")
    booster = model.booster.copy() if best is None else model.booster[: int(best) + 1]
    if json.loads(booster.save_config())["learner"]["objective"]["name"] == "multi:softmax":
        booster.set_param({"objective": "multi:softprob"})  # the same trees, with probabilities
    booster.feature_names = None  # the converter takes none but its own
    booster.feature_types = None
    table = [("X", kinds.FloatTensorType([None, model.signature.width]))]
    yield _attempt("onnxmltools", lambda kind: onnxmltools.convert_xgboost(booster, initial_types=kind), table)


def _lightgbm(model: Any) -> Iterator[Any]:
    yield lightgbm.convert(model.booster)


_OPSETS: Final = {"": 18, "ai.onnx.ml": 3}
"""The versions of ONNX's operators that all converters know."""
_CONVERTERS: Final[Mapping[str, Callable[[Any], Iterator[Any]]]] = {
    "lightgbm": _lightgbm,
    "sklearn": _sklearn,
    "xgboost": _xgboost,
}


def _outputs(model: Any) -> list[str]:
    return [output.name for output in model.signature.outputs]


def _attempt(package: str, convert: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return convert(argument)
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise NotConvertible(f"{package} {version(package)} cannot convert it: {said}") from error


def _register_boosters() -> None:
    """Let skl2onnx convert XGBoost's scikit-learn classes too, where that is installed."""
    try:
        xgboost = library("xgboost", "xgboost-cpu", "xgboost")
        shapes = library("skl2onnx.common.shape_calculator", "skl2onnx", "accelerate")
        converter = library("onnxmltools.convert.xgboost.operator_converters.XGBoost", "onnxmltools", "accelerate")
    except Exception:  # noqa: BLE001 - then no model needs it either
        return
    register = library("skl2onnx", "skl2onnx", "accelerate").update_registered_converter
    classifier = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for name, shape, options in (
        ("XGBClassifier", shapes.calculate_linear_classifier_output_shapes, classifier),
        ("XGBRegressor", shapes.calculate_linear_regressor_output_shapes, None),
    ):
        register(getattr(xgboost, name), f"XGBoost{name}", shape, converter.convert_xgboost, options=options)
