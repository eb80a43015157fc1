"""The dashboard of the uncertainty, row by row: whether what is said of errors is true."""

from __future__ import annotations

from panel import EACH, OF, Panel, mean, per_second, quantile

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
