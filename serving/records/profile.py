"""The statistics of what a model was trained on, in a file beside it: the monitor compares requests with them."""

import logging
from typing import Any, Final

import orjson

from serving.artifacts import read_beside
from serving.errors import ModelLoadError
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
    try:
        content = read_beside(source, SUFFIX, LARGEST)
        if content is None:
            return None
        document = orjson.loads(content)
        if not isinstance(document, dict):
            raise TypeError("it must hold a JSON object")
    except (ModelLoadError, OSError, TypeError, ValueError) as problem:
        log.warning("the profile %s%s is left out: %s", source.uri, SUFFIX, problem)
        return None
    return {part: document.get(part) for part in ("features", "predictions")}
