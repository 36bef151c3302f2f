"""Makes meshproxy.json, which Grafana imports, of panels.yaml, which people read and change.

    python config/grafana/board.py

What a panel asks stands there; how Grafana wants to be told of it stands here. A test holds the
file to both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

PANELS = Path(__file__).with_name("panels.yaml")
FILE = Path(__file__).with_name("meshproxy.json")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = 'job=~"$job", instance=~"$instance"'
WIDTH = 24

LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True}
NOTHING: Mapping[str, Any] = {}

Panel = dict[str, Any]
Said = Mapping[str, Any]
"""A panel as panels.yaml has it."""


def filled(query: str) -> str:
    """The query as Grafana sends it, but for its variables."""
    query = re.sub(r"\{([^}]*)\}", lambda more: _chosen(more[1]), query)
    return re.sub(r"\b(rate|increase)\((\w+\{[^}]*\})\)", r"\1(\2[$__rate_interval])", query)


def _chosen(more: str) -> str:
    return f"{{{CHOSEN}, {more}}}" if more else f"{{{CHOSEN}}}"


def panel(
    kind: str,
    said: Said,
    defaults: Mapping[str, Any],
    options: Mapping[str, Any],
    target: Mapping[str, Any] = NOTHING,
) -> Panel:
    """What all kinds have in common; its place and number are given later."""
    asks = said["asks"] if "asks" in said else {"": said["ask"]}
    unit = {"unit": said.get("unit", "short")}
    return {
        "type": kind,
        "title": said["title"],
        "description": said.get("about", ""),
        "datasource": SOURCE,
        "gridPos": {"w": said.get("width", 8), "h": said.get("height", 8)},
        "fieldConfig": {"defaults": {**unit, **defaults}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": "ABCDEF"[number],
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": filled(query),
                "legendFormat": legend,
                "range": True,
                "instant": False,
                **target,
            }
            for number, (legend, query) in enumerate(asks.items())
        ],
    }


def graph(said: Said) -> Panel:
    """Lines over time."""
    stacked = said.get("stacked", False)
    drawn = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    most = {"max": said["most"]} if "most" in said else {}
    options = {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
    target = {"exemplar": True} if said.get("exemplars") else {}
    return panel("timeseries", said, {"min": 0, "custom": drawn, **most}, options, target)


def number(said: Said) -> Panel:
    """One number, red from `bad` on or below `good`."""
    steps: list[dict[str, Any]] = [{"color": "text", "value": None}]
    if "bad" in said:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": said["bad"]}]
    if "good" in said:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": said["good"]}]
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
    }
    defaults = {"thresholds": {"mode": "absolute", "steps": steps}}
    return panel("stat", {"width": 4, "height": 4, **said}, defaults, options)


def states(said: Said) -> Panel:
    """Coloured bars over time: `names` are a value's name and colour."""
    words = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(said["names"].items())
    }
    defaults = {
        "mappings": [{"type": "value", "options": words}],
        "custom": {"fillOpacity": 70, "lineWidth": 0},
    }
    options = {"mergeValues": True, "showValue": "never", "legend": LEGEND}
    return panel("state-timeline", said, defaults, options)


def heat(said: Said) -> Panel:
    """A histogram over time, with its exemplars as dots."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "yAxis": {"unit": said["unit"], "axisPlacement": "left"},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "legend": {"show": True},
        "tooltip": {"mode": "single"},
    }
    target = {"format": "heatmap", "exemplar": True, "legendFormat": "{{le}}"}
    return panel("heatmap", said, {}, options, target)


def table(said: Said) -> Panel:
    """The labels of what there is now."""
    made = panel(
        "table", said, {}, {"showHeader": True},
        {"format": "table", "range": False, "instant": True},
    )  # fmt: skip
    hidden = {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}
    return {**made, "transformations": [hidden]}


KINDS = {"graph": graph, "number": number, "states": states, "heat": heat, "table": table}


def placed(rows: Mapping[str, Sequence[Sequence[Said]]]) -> list[Panel]:
    """All panels with their places, below a title for each row."""
    made: list[Panel] = []
    top = 0
    for title, lines in rows.items():
        head = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        made.append(
            {"type": "row", "title": title, "collapsed": False, "gridPos": head, "panels": []}
        )
        top += 1
        for line in lines:
            left = tall = 0
            for said in line:
                each = KINDS[said.get("kind", "graph")](said)
                each["gridPos"] |= {"x": left, "y": top}
                left += each["gridPos"]["w"]
                tall = max(tall, each["gridPos"]["h"])
                made.append(each)
            top += tall
    return [{"id": number, **each} for number, each in enumerate(made, 1)]


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of several, all by default."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def board() -> dict[str, Any]:
    """The whole of it, as Grafana reads it."""
    source = {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "refresh": 1, "includeAll": False, "multi": False, "current": {},
    }  # fmt: skip
    reloads = {
        "name": "Reloads",
        "enable": True,
        "iconColor": "blue",
        "datasource": SOURCE,
        "expr": f"changes(meshproxy_config_generation{{{CHOSEN}}}[$__interval]) > 0",
        "titleFormat": "{{instance}} has a new config",
    }
    return {
        "title": "meshproxy",
        "uid": "meshproxy",
        "description": "One or many sidecars: traffic, errors, latency, limits and the process.",
        "tags": ["meshproxy", "service-mesh"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": [reloads]},
        "links": [],
        "templating": {
            "list": [
                source,
                variable("job", "Service", "label_values(meshproxy_build_info, job)"),
                variable(
                    "instance", "Instance",
                    'label_values(meshproxy_build_info{job=~"$job"}, instance)',
                ),
            ]
        },
        "panels": placed(yaml.safe_load(PANELS.read_text())),
    }  # fmt: skip


def text() -> str:
    """The file."""
    return json.dumps(board(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
