"""Dashboards, and the JSON that Grafana wants of them.

A dashboard is rows of panels, a panel a title, its queries and a unit; everything else is the same in all of them.
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
HEIGHT: Final = 8

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`kind`: timeseries, stat or table. `unit` is one of Grafana's. `limit`: from where on values are shown in red."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    limit: float | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """What is chosen above the dashboard: values of a label of a metric."""

    name: str
    metric: str
    label: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One file. Its uid never changes, so that links to it hold."""

    name: str
    title: str
    variables: Sequence[Variable] = field(default=())
    rows: Sequence[Row] = field(default=())


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """Per second, summed up by these labels."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{{{labels}}}[$__rate_interval]))"


def ratio(part: str, whole: str, labels: str, by: str = "") -> str:
    """How much of one counter is the other; 0 where the part has no series."""
    return f"({rate(part, labels, by)} or 0 * {rate(whole, labels, by)}) / {rate(whole, labels, by)}"


def quantile(q: float, histogram: str, labels: str = "", by: str = "") -> str:
    """A quantile of a histogram, by these labels."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', labels, ', '.join(filter(None, ('le', by))))})"


def dashboard(board: Board) -> Json:
    """The JSON of a dashboard."""
    return {
        "uid": f"tidegate-{board.name}",
        "title": board.title,
        "tags": ["tidegate"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "timezone": "",
        "annotations": {"list": []},
        "links": [
            {"type": "dashboards", "tags": ["tidegate"], "title": "Tidegate", "asDropdown": True, "includeVars": False}
        ],
        "templating": {"list": [_source(), *map(_variable, board.variables)]},
        "panels": list(_panels(board)),
    }


def _source() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}


def _variable(one: Variable) -> Json:
    query = f"label_values({one.metric}, {one.label})"
    return {
        "name": one.name,
        "label": one.name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": one.name},
        "refresh": 2,
        "sort": 1,
        "multi": one.many,
        "includeAll": one.many,
        "current": {"text": "All", "value": "$__all"} if one.many else {},
    }


def _panels(board: Board) -> Iterator[Json]:
    number, top = 1, 0
    for row in board.rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        width, height = WIDTH // len(row.panels), HEIGHT // 2 if _is_flat(row) else HEIGHT
        for column, panel in enumerate(row.panels):
            place = {"h": height, "w": width, "x": column * width, "y": top + 1}
            yield _panel(panel, number + 1 + column, place)
        number, top = number + 1 + len(row.panels), top + 1 + height


def _is_flat(row: Row) -> bool:
    return all(panel.kind == "stat" for panel in row.panels)


def _panel(panel: Panel, number: int, place: Json) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    custom = {"thresholdsStyle": {"mode": "line" if panel.limit is not None else "off"}, "fillOpacity": 10}
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    found: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [_target(query, place, panel.kind) for place, query in enumerate(panel.queries)],
    }
    match panel.kind:
        case "timeseries":
            defaults["custom"] = custom
            found["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        case "stat":
            found["options"] = {"textMode": "auto", "colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}}
        case "table":
            hidden = dict.fromkeys(("Time", "Value", "__name__", "instance", "job", "endpoint", "prometheus"), True)
            found["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return found


def _target(query: Query, place: int, kind: str) -> Json:
    target: Json = {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
    }
    return target | ({"format": "table", "instant": True} if kind == "table" else {})


def text(board: Board) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(board), indent=1) + "\n"
