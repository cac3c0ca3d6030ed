"""Evidently's report of drift, as a page that needs nothing else. https://docs.evidentlyai.com/

Evidently is large and needs an older pandas than others, so it is an extra of its own, and imported only here.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from monitor.answers.samples import Family, Sample
from operators.cli.errors import CliError

INSTALL: Final = "install it: pip install 'tidegate[report]'"
LEAST: Final = 10
"""Values that a column needs on both sides to be in the report."""


def require() -> None:
    """Raise `CliError` when Evidently is not installed."""
    if find_spec("evidently") is None:
        raise CliError("--report needs Evidently, which is not installed", INSTALL)


def write(sample: Sample, path: Path) -> None:
    """Write the report. Raises `CliError`."""
    columns = {**_named(sample.features, "feature"), **_named(sample.predictions, "prediction")}
    if not columns:
        raise CliError(
            f"no report: {sample.model} has no column with {LEAST} values in its reference and {LEAST} in the window",
            "see what is missing: leave --report out",
        )
    try:
        pandas, evidently, presets = map(import_module, ("pandas", "evidently", "evidently.presets"))
    except ImportError as error:
        raise CliError(f"Evidently cannot be used: {error}", INSTALL) from error
    definition = evidently.DataDefinition(
        numerical_columns=[name for name, (_, _, categorical) in columns.items() if not categorical],
        categorical_columns=[name for name, (_, _, categorical) in columns.items() if categorical],
    )
    # A reference has columns apart from each other, of different lengths: what is missing at their ends is no value.
    reference, current = (
        evidently.Dataset.from_pandas(
            pandas.DataFrame({name: pandas.Series(both[side]) for name, both in columns.items()}),
            data_definition=definition,
        )
        for side in (0, 1)
    )
    report = evidently.Report([presets.DataDriftPreset()]).run(current, reference)
    try:
        report.save_html(str(path))
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}", "name another file") from error


def _named(family: Family, kind: str) -> Mapping[str, tuple[Sequence[Any], Sequence[Any], bool]]:
    """Columns with enough values on both sides: the reference's, the current ones, and whether these are names."""
    found = {}
    for name, values in family.reference.columns.items():
        categorical = name in family.reference.categorical
        before, now = (
            [str(value) if categorical else value for value in side if value is not None]
            for side in (values, family.current.columns.get(name, ()))
        )
        if min(len(before), len(now)) >= LEAST:
            found[f"{kind} {name}"] = (before, now, categorical)
    return found
