"""The routes that Envoy ran last, kept as JSON, so that a restarted router serves them before anybody tells it more."""

import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from router.ir import Backend, Condition, Cookie, Endpoint, Mirror, Paths, Retry, Route, RouteKey, Selection

_log = logging.getLogger(__name__)
_FORMAT = 1


def save(path: Path, acknowledged: Iterable[Route], sent: Iterable[Route]) -> None:
    """Replace the file, whole or not at all. `sent` are the routes on their way: Envoy may run them already."""
    content = {
        "format": _FORMAT,
        "acknowledged": [asdict(route) for route in acknowledged],
        "sent": [asdict(route) for route in sent],
    }
    written = path.with_suffix(".new")
    with written.open("wb") as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)


def load(path: Path) -> tuple[list[Route], list[Route]] | None:
    """The acknowledged and the sent routes; None without a file or with one that cannot be understood."""
    try:
        content = orjson.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}, this router writes {_FORMAT}")
        return [route_from_json(item) for item in content["acknowledged"]], [
            route_from_json(item) for item in content["sent"]
        ]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.error("%s cannot be used, the router starts without routes: %r", path, error)
        return None


def route_from_json(item: dict[str, Any]) -> Route:
    """A route from what `dataclasses.asdict` made of it. Raises `TypeError`, `ValueError` or `KeyError`."""
    fields = dict(item)
    fields["key"] = RouteKey(**fields["key"])
    fields["hosts"] = tuple(fields.get("hosts", ("*",)))
    fields["backends"] = tuple(
        Backend(**{**backend, "endpoints": tuple(Endpoint(**endpoint) for endpoint in backend.get("endpoints", ()))})
        for backend in fields.get("backends", ())
    )
    if fields.get("mirror") is not None:
        fields["mirror"] = Mirror(**fields["mirror"])
    if fields.get("selection") is not None:
        selection = fields["selection"]
        matches = tuple(tuple(map(_condition, match)) for match in selection["matches"])
        fields["selection"] = Selection(selection["version"], matches)
    if fields.get("sticky_cookie") is not None:
        fields["sticky_cookie"] = Cookie(**fields["sticky_cookie"])
    if "paths" in fields:
        fields["paths"] = Paths(**fields["paths"])
    if "retry" in fields:
        fields["retry"] = Retry(**fields["retry"])
    return Route(**fields)


def _condition(item: dict[str, Any]) -> Condition:
    lists = {name: tuple(item.get(name, ())) for name in ("feature", "values")}
    return Condition(**{**item, **lists})
