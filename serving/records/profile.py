"""The statistics of what a model was trained on, in a file beside it: the monitor compares requests with them."""

import logging
from typing import Any, Final

import orjson

from serving.artifacts import beside
from serving.spec import ModelSource

SUFFIX: Final = ".profile.json"
"""What follows the name of the model's file or folder."""
LARGEST: Final = 8 << 20
"""Bytes of such a file."""

log = logging.getLogger(__name__)

Profile = dict[str, Any]
"""JSON with `features` and `predictions`, as the monitor reads it."""


def read_profile(source: ModelSource) -> Profile | None:
    """The profile that lies beside a model; None if there is none, or if it cannot be used, which is logged."""
    path = beside(source, SUFFIX)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
        document = orjson.loads(content)
        if not isinstance(document, dict):
            raise TypeError("it must hold a JSON object")
    except (OSError, TypeError, ValueError) as problem:
        log.warning("the profile %s is left out: %s", path, problem)
        return None
    return {part: document.get(part) for part in ("features", "predictions")}
