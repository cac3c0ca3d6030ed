"""Tries a native model file in a process of its own, before this one opens it.

The C++ readers of XGBoost (UBJSON) and LightGBM trust what they read: a file that was cut off or damaged can end the
process, or keep it busy for ever, where an error was due. Run as a script, this module opens the file and predicts four
rows through the library's C interface, which takes a few hundredths of a second; the file's process bears what comes of
it, and may take only so much memory as the file's size explains: a small one may say that it has billions of columns.
That says nothing about branches that these rows do not take: `spec.model.sha256` is what tells a damaged file for
certain.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

SECONDS = 120
"""How long a file may take."""

MEMORY = 1 << 30
"""Bytes that the process may take for any file, beside 64 for each of the file's own."""

ROWS = (0.0, 1e9, -1e9, float("nan"))
"""What all columns of a row hold."""


def reason_against(module: ModuleType, file: Path) -> str | None:
    """Why the library that is imported as `module` cannot open a file; None if it can.

    None also where the package has no shared object of its own, as in some distributions: then nothing can be tried.
    """
    name = module.__name__
    shared = next(Path(str(module.__file__)).parent.glob(f"lib/*{name}.*"), None)
    if shared is None:
        return None
    command = [sys.executable, "-I", "-S", __file__, name, str(shared), str(file)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # the stacks of threads are memory too
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, this module
            command, capture_output=True, text=True, errors="replace", env=alone, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"reading it and predicting a row took more than {SECONDS} seconds"
    if done.returncode < 0:
        return f"it makes {name} crash ({signal.Signals(-done.returncode).name}): it is cut off or damaged"
    return done.stdout.strip() or f"{name} ended with {done.returncode}" if done.returncode else None


class _Failed(Exception):
    pass


def _lightgbm(shared: ctypes.CDLL, file: str) -> None:
    check = _checked(shared.LGBM_GetLastError)
    handle, iterations, width, length = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int64()
    check(shared.LGBM_BoosterCreateFromModelfile(file.encode(), ctypes.byref(iterations), ctypes.byref(handle)))
    check(shared.LGBM_BoosterGetNumFeature(handle, ctypes.byref(width)))
    count, whole, quiet = len(ROWS), ctypes.c_int(-1), b"num_threads=1 verbosity=-1"
    check(shared.LGBM_BoosterCalcNumPredict(handle, count, 0, 0, whole, ctypes.byref(length)))
    rows = (ctypes.c_double * (count * width.value))(*(value for value in ROWS for _ in range(width.value)))
    answer = (ctypes.c_double * length.value)()
    shape = (1, count, width, 1, 0, 0, whole)  # of doubles, row by row; all trees
    check(shared.LGBM_BoosterPredictForMat(handle, rows, *shape, quiet, ctypes.byref(length), answer))


def _xgboost(shared: ctypes.CDLL, file: str) -> None:
    check = _checked(shared.XGBGetLastError)
    handle, width = ctypes.c_void_p(), ctypes.c_uint64()
    check(shared.XGBoosterCreate(None, ctypes.c_uint64(0), ctypes.byref(handle)))
    check(shared.XGBoosterSetParam(handle, b"nthread", b"1"))
    check(shared.XGBoosterLoadModel(handle, file.encode()))
    check(shared.XGBoosterGetNumFeature(handle, ctypes.byref(width)))
    rows = (ctypes.c_float * (len(ROWS) * width.value))(*(value for value in ROWS for _ in range(width.value)))
    where = b'{"data": [%d, true], "shape": [%d, %d], "typestr": "<f4", "version": 3}'
    how = b'{"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, "strict_shape": false}'
    matrix, shape, rank = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
    answer = ctypes.c_void_p()
    missing = b'{"missing": NaN, "nthread": 1}'
    place = where % (ctypes.addressof(rows), len(ROWS), width.value)
    check(shared.XGDMatrixCreateFromDense(place, missing, ctypes.byref(matrix)))
    check(
        shared.XGBoosterPredictFromDMatrix(
            handle, matrix, how, ctypes.byref(shape), ctypes.byref(rank), ctypes.byref(answer)
        )
    )


def _checked(last_error: Any) -> Callable[[int], None]:
    last_error.restype = ctypes.c_char_p

    def check(code: int) -> None:
        if code != 0:
            raise _Failed(last_error().decode(errors="replace"))

    return check


if __name__ == "__main__":
    _, name, shared, file = sys.argv
    most = MEMORY + 64 * Path(file).stat().st_size if Path(file).exists() else MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        {"lightgbm": _lightgbm, "xgboost": _xgboost}[name](ctypes.CDLL(shared), file)
    except _Failed as failed:
        print(str(failed).strip().splitlines()[0])  # noqa: T201 - the answer of this process
        sys.exit(1)
    except MemoryError:
        print(f"it takes more than {most} bytes of memory to predict {len(ROWS)} rows")  # noqa: T201 - as above
        sys.exit(1)
