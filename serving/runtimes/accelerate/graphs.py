"""What is done to ONNX graphs that converters have made."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TREES: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def with_exact_trees(double: Any, single: Any) -> Any:
    """A graph of FP64 whose trees are those of the same model's graph of FP32, and see their inputs as FP32.

    That is what scikit-learn does: everything is FP64, but trees compare numbers that were rounded to FP32. Their
    thresholds are rounded so that the comparisons come out the same, which converters do for FP32 alone. Raises
    `ValueError` if the graphs have different trees.
    """
    given = [node for node in single.graph.node if node.op_type in TREES]
    trees = [node for node in double.graph.node if node.op_type in TREES]
    if [node.op_type for node in given] != [node.op_type for node in trees]:
        raise ValueError("the graphs have different trees")
    nodes: list[Any] = []
    sources = iter(given)
    for node in double.graph.node:
        if node.op_type not in TREES:
            nodes.append(node)
            continue
        place = len(nodes)
        rounded, inside, outside = f"tidegate_rounded_{place}", f"tidegate_scores_{place}", node.output[-1]
        tree = onnx.NodeProto()
        tree.CopyFrom(next(sources))
        del tree.input[:], tree.output[:]
        tree.input.append(rounded)
        tree.output.extend([*node.output[:-1], inside])
        nodes += [
            helper.make_node("Cast", [node.input[0]], [rounded], to=TensorProto.FLOAT),
            tree,
            helper.make_node("Cast", [inside], [outside], to=TensorProto.DOUBLE),
        ]
    result = onnx.ModelProto()
    result.CopyFrom(double)
    del result.graph.node[:], result.graph.value_info[:]
    result.graph.node.extend(nodes)
    for output in result.graph.output:  # numbers that are FP64 now: onnxruntime finds the types itself
        output.ClearField("type")
    return result


def thresholds(model: Any) -> Iterator[tuple[int, float]]:
    """The columns that trees look at, by their places, each with a number that it is compared with."""
    for node in model.graph.node:
        if node.op_type in TREES:
            values = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            exact = values.get("nodes_values_as_tensor")
            numbers = values.get("nodes_values", []) if exact is None else numpy_helper.to_array(exact)
            branches = np.array([mode != b"LEAF" for mode in values["nodes_modes"]], dtype=bool)
            columns = np.array(values["nodes_featureids"])
            yield from zip(columns[branches].tolist(), np.array(numbers, float)[branches].tolist(), strict=True)
