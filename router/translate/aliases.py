"""Paths of a model's own, beside those that every model has: `/api/v1/predict` for `/api/v1/models/credit/predict`.

Envoy writes the path anew when it forwards a request, so that all about it is as for the long path: draws, selections,
copies, retries, limits and records.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from router.ir import PATH, TAKEN_PATHS, Paths, Route
from router.translate.places import Place

DESCRIPTIONS: Final = ("health", "info", "openapi", "docs")
"""The fields of `Paths` that describe a model; the other is for predictions."""
_PAGES: Final = ("openapi", "docs")
_PATH, _TAKEN = re.compile(PATH), re.compile(TAKEN_PATHS)


def named_path(model: str, what: str) -> str:
    """The path that every model has for what a field of `Paths` is for."""
    return f"/api/v1/models/{model}/{'openapi.json' if what == 'openapi' else what}"


def inference_aliases(route: Route) -> list[Place]:
    """Where else predictions are asked for."""
    return [_place(route, what, path) for what, path in route.paths.given.items() if what not in DESCRIPTIONS]


def metadata_aliases(route: Route) -> list[Place]:
    """Where else the model is described."""
    return [_place(route, what, path) for what, path in route.paths.given.items() if what in DESCRIPTIONS]


def problems(paths: Paths) -> Iterator[str]:
    """What Envoy would refuse, or understand differently than it was meant."""
    for path, count in Counter(paths.given.values()).items():
        if not _PATH.fullmatch(path):
            yield f"{path!r} is no path of a model's own"
        if _TAKEN.fullmatch(path):
            yield f"the path {path} belongs to a protocol"
        if count > 1:
            yield f"the path {path} stands for {count} things"


def _place(route: Route, what: str, path: str) -> Place:
    long = named_path(route.model, what)
    # What describes requests is told where they are sent.
    told = what in _PAGES and route.paths.predict is not None
    return Place(path, rewrite=f"{long}/for{route.paths.predict}" if told else long)
