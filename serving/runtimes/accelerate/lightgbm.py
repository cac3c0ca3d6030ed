"""LightGBM's trees as an ONNX graph in FP64, in which LightGBM itself computes.

onnxmltools writes thresholds as FP32, so that values close to one would take the other branch.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from serving.runtimes.accelerate.errors import NotConvertible

_ZERO: Final = float(np.float32(1e-35))
"""What lies between this and its negative, LightGBM reads as 0."""
_SIGMOID: Final = re.compile(r"\bsigmoid:([^ ]+)")
_POSITIVE: Final = ("poisson", "gamma", "tweedie")
_PROBABILITY: Final = ("cross_entropy", "xentropy")


def convert(booster: Any) -> Any:
    """The graph of a Booster: a label and probabilities, or a number. Raises `NotConvertible`."""
    dump = booster.dump_model()
    count, width = dump["num_tree_per_iteration"], dump["max_feature_idx"] + 1
    objective, _, settings = dump.get("objective", "").partition(" ")
    trees = _Trees(count)
    weight = count / len(dump["tree_info"]) if dump.get("average_output") and dump["tree_info"] else 1.0
    for index, tree in enumerate(dump["tree_info"]):
        trees.add(index, tree["tree_structure"], weight)
    nodes = [trees.node("X", "sum"), helper.make_node("Cast", ["sum"], ["margin"], to=TensorProto.DOUBLE)]
    found = _SIGMOID.search(settings)
    finish: Callable[..., list[Any]] = _FINISH.get(objective) or (_exp if objective in _POSITIVE else _number)
    if objective in _PROBABILITY:
        finish = _probability
    nodes += finish(float(found[1]) if found else 1.0)
    results = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (
            [("label", TensorProto.INT64), ("probabilities", TensorProto.DOUBLE)]
            if objective in _FINISH
            else [("variable", TensorProto.DOUBLE)]
        )
    ]
    table = helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, width])
    graph = helper.make_graph(nodes, "lightgbm", [table], results)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


class _Trees:
    """The attributes of https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html, version 3."""

    def __init__(self, targets: int) -> None:
        self._targets = targets
        self._nodes: dict[str, list[Any]] = {
            name: []
            for name in (
                "treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids",
                "missing_value_tracks_true",
            )
        }  # fmt: skip
        self._values: list[float] = []
        self._leaves: dict[str, list[int]] = {"treeids": [], "nodeids": [], "ids": []}
        self._weights: list[float] = []

    def add(self, tree: int, root: Mapping[str, Any], weight: float) -> None:
        """Take in a tree, each number of which counts `weight` times. Raises `NotConvertible`."""
        waiting, known = [(0, root)], 1
        while waiting:
            place, node = waiting.pop()
            if "split_feature" not in node:
                if node.get("leaf_coeff"):
                    raise NotConvertible("its trees have linear models in their leaves")
                self._put(tree, place, 0, "LEAF", 0, 0, 0, 0.0)
                for name, value in (("treeids", tree), ("nodeids", place), ("ids", tree % self._targets)):
                    self._leaves[name].append(value)
                self._weights.append(node["leaf_value"] * weight)
                continue
            if node["decision_type"] != "<=":
                raise NotConvertible("its trees split categories")
            threshold = float(node["threshold"])
            if abs(threshold) <= _ZERO:
                threshold = _ZERO if threshold >= 0.0 else float(np.nextafter(-_ZERO, -np.inf))
            missing = node["missing_type"]
            if missing == "Zero":
                raise NotConvertible("its trees take 0 as missing")
            # Without missing values in training LightGBM reads NaN as 0.
            left = node["default_left"] if missing == "NaN" else threshold >= 0.0
            column, true, false = node["split_feature"], known, known + 1
            known += 2
            self._put(tree, place, column, "BRANCH_LEQ", true, false, int(left), threshold)
            waiting += [(true, node["left_child"]), (false, node["right_child"])]

    def _put(self, *values: Any) -> None:
        for column, value in zip(self._nodes.values(), values[:-1], strict=True):
            column.append(value)
        self._values.append(values[-1])

    def node(self, source: str, result: str) -> Any:
        """The sum of all trees, for each target, in FP32."""
        attributes: dict[str, Any] = {
            "n_targets": self._targets,
            "nodes_values_as_tensor": numpy_helper.from_array(np.array(self._values)),
            "target_weights_as_tensor": numpy_helper.from_array(np.array(self._weights)),
        }
        attributes |= {f"nodes_{name}": values for name, values in self._nodes.items()}
        attributes |= {f"target_{name}": values for name, values in self._leaves.items()}
        return helper.make_node("TreeEnsembleRegressor", [source], [result], domain="ai.onnx.ml", **attributes)


def _constant(name: str, value: float) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value)))


def _sigmoid(result: str, steepness: float) -> list[Any]:
    scaled = [_constant("steepness", steepness), helper.make_node("Mul", ["margin", "steepness"], ["scaled"])]
    return [*scaled, helper.make_node("Sigmoid", ["scaled"], [result])]


def _likeliest() -> list[Any]:
    return [helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)]


def _binary(steepness: float) -> list[Any]:
    return [
        *_sigmoid("second", steepness),
        _constant("one", 1.0),
        _constant("half", 0.5),
        helper.make_node("Sub", ["one", "second"], ["first"]),
        helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1),
        helper.make_node("Greater", ["second", "half"], ["above"]),
        helper.make_node("Cast", ["above"], ["label"], to=TensorProto.INT64),
    ]


def _multiclass(_: float) -> list[Any]:
    return [helper.make_node("Softmax", ["margin"], ["probabilities"], axis=1), *_likeliest()]


def _multiclassova(steepness: float) -> list[Any]:
    return [*_sigmoid("probabilities", steepness), *_likeliest()]


def _probability(_: float) -> list[Any]:
    return _sigmoid("variable", 1.0)


def _exp(_: float) -> list[Any]:
    return [helper.make_node("Exp", ["margin"], ["variable"])]


def _number(_: float) -> list[Any]:
    return [helper.make_node("Identity", ["margin"], ["variable"])]


_FINISH: Final[Mapping[str, Callable[[float], list[Any]]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "multiclassova": _multiclassova,
}
"""The objectives of classifiers."""
