"""The dashboard of the service, row by row: who serves, how fast, and what goes wrong."""

from __future__ import annotations

from panel import OF, Panel, by_model, per_second, quantile

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
            "Mean latency",
            [(f"max(sextant:latency_seconds:mean5m{{{OF}}})", "")],
            "s",
            "From request to answer within Triton, on average.",
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
            [(f"max by (pipeline) (sextant:latency_seconds:mean5m{{{OF}}})", "{{pipeline}}")],
            "s",
            "From request to answer within Triton, on average; of several servers the slowest.",
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
