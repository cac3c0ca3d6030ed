"""A graph in onnxruntime: from a file, or from bytes in memory; what it takes and gives, and how it is run."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.errors import UnloadableModel, UnsupportedModel
from serving.runtimes.base import OutputSpec, TensorSpec
from serving.runtimes.files import library

DATATYPES: Final = {
    "tensor(double)": "FP64",
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(int16)": "INT16",
    "tensor(int8)": "INT8",
    "tensor(uint64)": "UINT64",
    "tensor(uint32)": "UINT32",
    "tensor(uint16)": "UINT16",
    "tensor(uint8)": "UINT8",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}
_MAPS: Final = re.compile(r"seq\(map\((int64|string),tensor\(float\)\)\)")
"""One map per row, from labels to numbers."""
_PREFIX: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed: ?)?")


class Session:
    """Runs one graph. `name` is what messages call it."""

    def __init__(self, session: Any, name: str, version: str) -> None:
        """Use `open`."""
        self.name = name
        self.version = version
        self.inputs = tuple(_input(argument, name) for argument in session.get_inputs())
        self.outputs = tuple(spec for argument in session.get_outputs() if (spec := _output(argument)) is not None)
        """Those that can be answered: tensors, and maps per row, which are said to be arrays."""
        self.maps = frozenset(one.name for one in session.get_outputs() if _MAPS.fullmatch(one.type))
        if not self.inputs or not self.outputs:
            raise UnsupportedModel(f"{name} has no {'outputs of use' if self.inputs else 'inputs'}")
        self._session = session

    @classmethod
    def open(cls, model: Path | bytes, name: str) -> "Session":
        """Read a graph. Raises `ModelLoadError`."""
        onnxruntime = library("onnxruntime", "onnxruntime", "onnx")
        options = onnxruntime.SessionOptions()
        # A pool of threads is for large graphs: a forest of 100 trees takes 6 µs for a row with one thread and 10 µs
        # with two. Ray sets the variable to the CPUs that it reserves for the replica.
        threads = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(threads) if threads.isdecimal() and 0 < int(threads) < 1024 else 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores belong to others too
        options.log_severity_level = 4
        content = str(model) if isinstance(model, Path) else model
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            reason = _PREFIX.sub("", str(error).strip()).splitlines()
            raise UnloadableModel(
                f"onnxruntime {onnxruntime.__version__} cannot load {name}: {reason[0] if reason else repr(error)}"
            ) from error
        return cls(session, name, onnxruntime.__version__)

    def output(self, name: str) -> OutputSpec:
        """The output of this name."""
        return next(output for output in self.outputs if output.name == name)

    def run(self, feeds: Mapping[str, np.ndarray], names: Sequence[str]) -> list[Any]:
        """The values of the outputs `names`: an array each, or a list of maps. Raises what onnxruntime does."""
        answer: list[Any] = self._session.run(names, feeds)
        return answer


def _input(argument: Any, model: str) -> TensorSpec:
    datatype = DATATYPES.get(argument.type)
    if datatype is None:
        raise UnsupportedModel(f"input {argument.name} of {model} is a {argument.type}, which no request can carry")
    return TensorSpec(argument.name, datatype, _shape(argument))


def _output(argument: Any) -> OutputSpec | None:
    if _MAPS.fullmatch(argument.type):
        return OutputSpec(argument.name, "FP32", (-1, -1))
    datatype = DATATYPES.get(argument.type)
    return None if datatype is None else OutputSpec(argument.name, datatype, (-1, *_shape(argument)[1:]))


def _shape(argument: Any) -> tuple[int, ...]:
    """Counts per axis. One that varies has a name or nothing in the graph."""
    return tuple(size if isinstance(size, int) and size >= 0 else -1 for size in argument.shape)
