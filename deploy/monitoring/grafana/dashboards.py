"""
Writes the two dashboards beside it, ``dashboards/service.json`` and ``dashboards/uncertainty.json``.

A panel is a line here: what it is called, what it asks, in which unit. After a change run it:
``python deploy/monitoring/grafana/dashboards.py``; a test holds the files and this page together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("dashboards")
SOURCE = {"type": "prometheus", "uid": "${source}"}
OF = 'pipeline=~"$pipeline"'
EACH = "[$__rate_interval]"
WIDTH, HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """*asks* are PromQL with the legend of each; *kind* is Grafana's word, *says* what the panel tells."""

    title: str
    asks: Sequence[tuple[str, str]]
    unit: str = "short"
    says: str = ""
    kind: str = "timeseries"
    width: int = 12


def mean(name: str, by: str) -> str:
    """The mean of a histogram."""
    return f"sum by ({by}) (rate({name}_sum{{{OF}}}{EACH})) / sum by ({by}) (rate({name}_count{{{OF}}}{EACH}))"


def quantile(share: float, name: str, by: str) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share:g}, sum by ({by}, le) (rate({name}_bucket{{{OF}}}{EACH})))"


def per_second(name: str, by: str, where: str = OF) -> str:
    """How fast a counter rises."""
    return f"sum by ({by}) (rate({name}{{{where}}}{EACH}))"


def by_model(above: str, below: str) -> str:
    """How fast one of Triton's counters rises, to how fast another does, or a sum of them."""
    divisor = " + ".join(f"rate({name}{EACH})" for name in below.split(" + "))
    return f"sum by (model) (rate({above}{EACH})) / sum by (model) ({divisor})"


SERVICE: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel("Servers that answer", [("sum(up{job=~'.*triton.*'})", "")], kind="stat", width=4),
        Panel("Serving release", [(f"sextant_promoted_release{{{OF}}}", "{{pipeline}}")], kind="stat", width=5),
        Panel("Requests", [(f"sum(sextant:requests:rate5m{{{OF}}})", "")], "reqps", kind="stat", width=5),
        Panel(
            "Errors",
            [(f"max(sextant:errors:ratio5m{{{OF}}})", "")],
            "percentunit",
            "Failed requests, those left out that a block refused for their input.",
            "stat",
            5,
        ),
        Panel(
            "95th percentile",
            [(f"max(sextant:latency_seconds{{{OF},quantile='0.95'}})", "")],
            "s",
            "From request to answer within Triton, of the last minute.",
            "stat",
            5,
        ),
    ),
    "Requests": (
        Panel("Requests", [(f"sum by (pipeline) (sextant:requests:rate5m{{{OF}}})", "{{pipeline}}")], "reqps"),
        Panel(
            "Failed requests",
            [(f"sum by (pipeline) (sextant:failed_requests:rate5m{{{OF}}})", "{{pipeline}}")],
            "reqps",
            "All of them, by Triton's count: one that fails in an ensemble is counted twice by Triton 24.10.",
        ),
        Panel(
            "Latency",
            [(f"max by (pipeline, quantile) (sextant:latency_seconds{{{OF}}})", "{{pipeline}} {{quantile}}")],
            "s",
            "From request to answer within Triton.",
        ),
        Panel(
            "Refused, by reason",
            [(per_second("sextant_refused_total", "pipeline, step, reason"), "{{pipeline}} {{step}} {{reason}}")],
            "reqps",
            "What callers sent and the pipeline does not take.",
        ),
    ),
    "Where the time goes": (
        Panel("Waiting", [("sextant:queue_seconds:mean5m", "{{model}}")], "s", "Mean time in the queue of each model."),
        Panel(
            "Blocks, 95th percentile",
            [(quantile(0.95, "sextant_block_seconds", "pipeline, step"), "{{pipeline}} {{step}}")],
            "s",
            "One call of a block's arithmetic, for all rows of a dynamic batch: preprocessing, fusion, ellipse, vote.",
        ),
        Panel(
            "Members",
            [
                (
                    by_model("nv_inference_compute_infer_duration_us", "nv_inference_exec_count") + " / 1e6",
                    "{{model}}",
                )
            ],
            "s",
            "Mean time of one execution of each model.",
        ),
        Panel(
            "Rows in a batch",
            [(by_model("nv_inference_count", "nv_inference_exec_count"), "{{model}}")],
            says="How many rows Triton puts together.",
        ),
        Panel("Requests that wait", [("sum by (model) (nv_inference_pending_request_count)", "{{model}}")]),
        Panel(
            "Cache hits",
            [
                (
                    by_model(
                        "nv_cache_num_hits_per_model", "nv_cache_num_hits_per_model + nv_cache_num_misses_per_model"
                    ),
                    "{{model}}",
                )
            ],
            "percentunit",
            "Of members with a response cache.",
        ),
    ),
    "Releases": (
        Panel(
            "Release that each server serves",
            [(f"sextant_serving_release{{{OF}}}", "{{pipeline}} {{server}}")],
            says="Lines of one pipeline lie on each other unless its servers differ.",
        ),
        Panel(
            "What the watch did",
            [
                (
                    f"sum by (pipeline, event) (increase(sextant_watch_events_total{{{OF}}}[1h]))",
                    "{{pipeline}} {{event}}",
                )
            ],
            says="In the last hour: promotions, rollbacks, refusals, repairs, trouble.",
        ),
        Panel(
            "Canary's share",
            [(f"sextant_canary_weight{{{OF}}}", "{{pipeline}} r{{release}}")],
            "percentunit",
            "The share of requests that the candidate of a trial answers.",
        ),
        Panel(
            "Canary, requests",
            [(per_second("sextant_route_requests", "pipeline, arm, release"), "{{pipeline}} {{arm}} r{{release}}")],
            "reqps",
        ),
        Panel(
            "Canary, errors",
            [(per_second("sextant_route_errors", "pipeline, arm, release"), "{{pipeline}} {{arm}} r{{release}}")],
            "reqps",
        ),
        Panel(
            "Canary, 95th percentile",
            [
                (
                    quantile(0.95, "sextant_route_latency_ms", "pipeline, arm, release"),
                    "{{pipeline}} {{arm}} r{{release}}",
                )
            ],
            "ms",
        ),
        Panel(
            "Passes of the watch",
            [(per_second("sextant_watch_passes_total", "pipeline, outcome"), "{{pipeline}} {{outcome}}")],
            "ops",
        ),
        Panel(
            "Loads of blocks",
            [
                (
                    f"sum by (pipeline, step) (increase(sextant_block_loads_total{{{OF}}}[1h]))",
                    "{{pipeline}} {{step}}",
                )
            ],
            says="In the last hour; one that goes on rising is a process that dies.",
        ),
    ),
    "Machines": (
        Panel(
            "Processor",
            [
                ("nv_cpu_utilization", "{{instance}} CPU"),
                ("nv_gpu_utilization or nv_cpu_utilization", "{{instance}} {{gpu_uuid}}"),
            ],
            "percentunit",
            "The GPU's where there is one.",
        ),
        Panel("Memory", [("nv_cpu_memory_used_bytes", "{{instance}}")], "bytes"),
    ),
}

UNCERTAINTY: dict[str, tuple[Panel, ...]] = {
    "Known cases": (
        Panel(
            "Coverage against its promise",
            [
                (f"sextant_known_cases_coverage{{{OF}}}", "{{pipeline}} r{{release}} {{confidence_level}}"),
                (f"sextant_known_cases_coverage_promised{{{OF}}}", "{{pipeline}} {{confidence_level}} promised"),
                (f"sextant_known_cases_coverage_upper{{{OF}}}", "{{pipeline}} {{confidence_level}} by chance at most"),
            ],
            "percentunit",
            "The share of ellipses that hold the truth. Below its promise, it may be chance; no longer where the line "
            "'by chance at most' is below the promise too.",
        ),
        Panel(
            "Median error",
            [(f"sextant_known_cases_median_error_m{{{OF}}}", "{{pipeline}} r{{release}}")],
            "lengthm",
        ),
        Panel(
            "Accuracy",
            [(f"sextant_known_cases_accuracy{{{OF}}}", "{{pipeline}} r{{release}}")],
            "percentunit",
            "The share of labels that were right.",
        ),
        Panel(
            "Answered",
            [
                (f"sextant_known_cases_answered{{{OF}}}", "{{pipeline}} answered"),
                (f"sextant_known_cases_unanswered{{{OF}}}", "{{pipeline}} not answered"),
            ],
            says="Known cases of the newest round.",
        ),
    ),
    "Positions": (
        Panel(
            "Area of the ellipses, median",
            [
                (
                    quantile(0.5, "sextant_ellipse_area_m2", "pipeline, confidence_level"),
                    "{{pipeline}} {{confidence_level}}",
                )
            ],
            "areaM2",
        ),
        Panel(
            "Area of the ellipses, 95th percentile",
            [
                (
                    quantile(0.95, "sextant_ellipse_area_m2", "pipeline, confidence_level"),
                    "{{pipeline}} {{confidence_level}}",
                )
            ],
            "areaM2",
        ),
        Panel(
            "Between share",
            [(mean("sextant_between_share", "pipeline"), "{{pipeline}} mean")],
            "percentunit",
            "The share of the members' disagreement in the variance of a fix.",
        ),
        Panel(
            "Members left out",
            [(per_second("sextant_members_rejected_total", "pipeline, member"), "{{pipeline}} {{member}}")],
            "reqps",
            "Rows a second of which the gate of the fusion left a member out.",
        ),
        Panel(
            "Between share, how it lies",
            [(f"sum by (le) (increase(sextant_between_share_bucket{{{OF}}}{EACH}))", "{{le}}")],
            kind="heatmap",
            width=24,
        ),
    ),
    "Labels": (
        Panel(
            "Agreement",
            [(mean("sextant_agreement", "pipeline"), "{{pipeline}} mean")],
            "percentunit",
            "Of the members.",
        ),
        Panel(
            "Confidence",
            [
                (quantile(0.5, "sextant_confidence", "pipeline"), "{{pipeline}} median"),
                (quantile(0.05, "sextant_confidence", "pipeline"), "{{pipeline}} 5th percentile"),
            ],
            "percent",
            "The calibrated probability of being right.",
        ),
        Panel(
            "Agreement, how it lies",
            [(f"sum by (le) (increase(sextant_agreement_bucket{{{OF}}}{EACH}))", "{{le}}")],
            kind="heatmap",
        ),
        Panel(
            "Confidence, how it lies",
            [(f"sum by (le) (increase(sextant_confidence_bucket{{{OF}}}{EACH}))", "{{le}}")],
            kind="heatmap",
        ),
    ),
    "Drift": (
        Panel(
            "Agreement, half an hour against a day",
            [
                (f"sextant:agreement:mean30m{{{OF}}}", "{{pipeline}} 30 min"),
                (f"sextant:agreement:mean1d{{{OF}}}", "{{pipeline}} day"),
            ],
            "percentunit",
        ),
        Panel(
            "Between share, half an hour against a day",
            [
                (f"sextant:between_share:mean30m{{{OF}}}", "{{pipeline}} 30 min"),
                (f"sextant:between_share:mean1d{{{OF}}}", "{{pipeline}} day"),
            ],
            "percentunit",
        ),
        Panel(
            "Refused, by reason",
            [(per_second("sextant_refused_total", "pipeline, reason"), "{{pipeline}} {{reason}}")],
            "reqps",
            width=24,
        ),
    ),
}

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
