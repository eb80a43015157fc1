"""
Writes the two dashboards beside it, ``dashboards/service.json`` and ``dashboards/uncertainty.json``.

Their panels stand in ``service.py`` and ``uncertainty.py``. After a change there run it:
``python deploy/monitoring/grafana/dashboards.py``; a test holds the files and this page together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from panel import Panel
from uncertainty import UNCERTAINTY

from service import SERVICE

FOLDER = Path(__file__).with_name("dashboards")
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 24, 8

DASHBOARDS = {
    "service.json": ("sextant-service", "Sextant: service", SERVICE),
    "uncertainty.json": ("sextant-uncertainty", "Sextant: uncertainty", UNCERTAINTY),
}


def dashboard(uid: str, title: str, rows: dict[str, tuple[Panel, ...]]) -> dict[str, Any]:
    """The dashboard as Grafana takes it."""
    return {
        "uid": uid,
        "title": title,
        "tags": ["sextant"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _pipelines()]},
        "panels": list(_panels(rows)),
    }


def _panels(rows: dict[str, tuple[Panel, ...]]) -> Iterator[dict[str, Any]]:
    """Row by row, from left to right."""
    number, top = 0, 0
    for title, panels in rows.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "gridPos": _place(0, top, WIDTH, 1), "panels": []}
        top, left = top + 1, 0
        height = HEIGHT
        for panel in panels:
            height = 4 if panel.kind == "stat" else HEIGHT
            if left + panel.width > WIDTH:
                top, left = top + height, 0
            number += 1
            yield _panel(panel, number, _place(left, top, panel.width, height))
            left += panel.width
        top += height


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    heat = panel.kind == "heatmap"
    targets = [
        {
            "refId": chr(ord("A") + i),
            "datasource": SOURCE,
            "expr": expr,
            "legendFormat": legend or "__auto",
            "format": "heatmap" if heat else "time_series",
            "range": True,
        }
        for i, (expr, legend) in enumerate(panel.asks)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {"calculate": False} if heat else {},
        "targets": targets,
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _pipelines() -> dict[str, Any]:
    query = "label_values(sextant:pipelines, pipeline)"
    return {
        "name": "pipeline",
        "label": "Pipeline",
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "pipelines"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def pages() -> dict[str, str]:
    """The text of each file."""
    return {name: json.dumps(dashboard(*said), indent=2) + "\n" for name, said in DASHBOARDS.items()}


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
