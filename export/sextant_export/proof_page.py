"""The report of a proof as one HTML page that needs nothing beside it, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from math import sqrt
from typing import Any

from sextant_export.causes import FLOAT32, TIE, UNEXPLAINED
from sextant_export.proof import OutputProof, Proof
from sextant_export.proof_report import DECADES, Comparison, ProofReport

CAUSES: Mapping[str, str] = {
    FLOAT32: "moved by a few float32 units in the last place, the row has the copy's answer from the original itself",
    TIE: "the original's two best labels are equally probable",
    UNEXPLAINED: "the copy answers differently, and no cause was found",
}
_RULE = (
    "Tolerated is a ten-thousandth of an output's own spread and eight float32 units in the last place, or what was "
    "asked for. Labels, whole numbers and text must be equal; NaN is equal to NaN alone; rows that float32 or a tie "
    "explains do not count towards max |Δ|."
)
_WIDTH, _HEIGHT, _FLOOR, _LEFT = 860, 200, 165, 10


def page(report: ProofReport) -> str:
    """The whole page."""
    style = files("sextant_export").joinpath("proof_page.css").read_text(encoding="utf-8")
    body = "\n".join(
        (_head(report), _facts(report), _asked(report), *map(_comparison, report.comparisons), _foot(report))
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.uri)}: {_verdict(report.proven)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(report: ProofReport) -> str:
    badge = f'<span class="badge large {_good(report.proven)}">{_verdict(report.proven)}</span>'
    return f'<header>{badge}<h1>{escape(report.uri)}</h1></header>\n<p class="lead">{escape(_sentence(report))}</p>'


def _sentence(report: ProofReport) -> str:
    """What came of it, for those who read one sentence."""
    if not report.proven:
        failed = next(comparison for comparison in report.comparisons if not comparison.proven)
        return f"Asked by {failed.by}, the copy does not answer as the model's own predict does."
    asked = " and by ".join(comparison.by for comparison in report.comparisons)
    apart = max((len(c.proof.edges) for c in report.comparisons if c.proof), default=0)
    aside = f", but for {apart:,} where the original itself cannot tell" if apart else ""
    return f"Asked by {asked}, the copy answers {report.rows:,} rows as the model's own predict does{aside}."


def _facts(report: ProofReport) -> str:
    made = f"{report.flavor} → {report.kind}" if report.converted else f"{report.flavor}, not converted"
    facts = {
        "Registered model": report.model,
        "Version": str(report.version),
        "Served as": made,
        "Saved as": ", ".join(report.flavors),
        "Rows asked": f"{report.rows:,}",
        "When": report.created,
        **{f"{name} SHA-256": f"{digest[:16]}…" for name, digest in report.digests.items()},
    }
    facts |= {f"Not converted from {name}": why for name, why in report.refused.items()}
    return f'<dl class="facts">{_pairs(facts)}</dl>'


def _asked(report: ProofReport) -> str:
    pieces = "".join(
        f'<i class="k{i % 7}" style="flex:{count}" title="{escape(name)}: {count:,}"></i>'
        for i, (name, count) in enumerate(report.parts)
    )
    key = "".join(
        f'<span><i class="k{i % 7}"></i>{escape(name)} <b>{count:,}</b></span>'
        for i, (name, count) in enumerate(report.parts)
    )
    bar = f'<div class="bar">{pieces}</div><div class="key">{key}</div>'
    return f"<section><header><h2>What was asked</h2></header>{bar}</section>"


def _comparison(comparison: Comparison) -> str:
    verdict = f'<span class="badge {_good(comparison.proven)}">{_verdict(comparison.proven)}</span>'
    parts = [f"<header><h2>The model's own predict against {escape(comparison.by)}</h2>{verdict}</header>"]
    if comparison.refusal:
        parts.append(f'<p class="refusal">{escape(comparison.refusal)}</p>')
    if comparison.proof:
        parts += [_outputs(comparison.proof), _causes(comparison.proof), _chart(comparison.histogram)]
        parts.append(_worst(comparison.worst, opened=not comparison.proven))
    return f"<section>{''.join(parts)}</section>"


def _outputs(proof: Proof) -> str:
    heads = ("Output", "Rows", "max |Δ|", "Tolerated", "Used", "Label flips", "NaN on both sides")
    rows = (_output(name, output, proof.rows) for name, output in proof.outputs.items())
    return f"<h3>Outputs</h3>{_table(heads, rows)}"


def _output(name: str, output: OutputProof, rows: int) -> tuple[str, ...]:
    share = output.max_abs_delta / output.tolerance if output.tolerance else None
    used = "exact" if share is None else f"{share:.1%}" if share <= 1 else f"{share:,.1f} times"
    tolerated = f"{output.tolerance:.3g}" if output.tolerance else "equal"
    delta, flips, gaps = f"{output.max_abs_delta:.3g}", f"{output.flips:,}", f"{output.nan_pairs:,}"
    return (f"<code>{escape(name)}</code>", f"{rows:,}", delta, tolerated, used, flips, gaps)


def _causes(proof: Proof) -> str:
    rows = [(cause, f"{len(found):,}", escape(CAUSES[cause])) for cause, found in proof.causes.items()]
    placed = (
        f"{proof.placed:,} rows stand on a tree's threshold on purpose, or a float32 unit beside it; "
        f"{proof.placed_edges:,} of them fell to its other side. They are counted apart from the {proof.allowed:,} "
        "others that may."
    )
    placed = f'<p class="soft">{placed}</p>' if proof.placed else ""
    rounded = (
        f"{proof.rounded:,} of {proof.rounded_of:,} logged rows have another answer from the original itself once "
        "they are rounded to float32, which is what the copy takes."
    )
    rounded = f'<p class="soft">{rounded}</p>' if proof.rounded_of else ""
    return f"<h3>Rows that differ, by cause</h3>{_table(('Cause', 'Rows', ''), rows)}{placed}{rounded}"


def _chart(counts: tuple[int, ...]) -> str:
    """Rows by their |delta| in units of what is tolerated; heights are square roots, so that few are still seen."""
    most, step = max(counts), (_WIDTH - 2 * _LEFT) / len(counts)
    words = ["0", *(f"≤ {limit:g}" for limit in DECADES[1:]), f"> {DECADES[-1]:g}"]
    bars = "".join(_bar(i, count, most, step, words[i]) for i, count in enumerate(counts))
    limit = _LEFT + step * (DECADES.index(1.0) + 1)
    mark = (
        f'<line class="limit" x1="{limit:.1f}" x2="{limit:.1f}" y1="14" y2="{_FLOOR}"/>'
        f'<text class="limit-word" x="{limit + 5:.1f}" y="22">more than is tolerated</text>'
    )
    return (
        "<h3>Rows by |Δ| ÷ tolerance, the worst output of each</h3>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="histogram of differences">'
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{_FLOOR}" y2="{_FLOOR}"/>{bars}{mark}</svg>'
    )


def _bar(i: int, count: int, most: int, step: float, word: str) -> str:
    height = max(2.0, sqrt(count / most) * (_FLOOR - 40)) if count else 0.0
    left, middle = _LEFT + step * i + step * 0.14, _LEFT + step * (i + 0.5)
    side = "over" if i > DECADES.index(1.0) else "within"
    top, width = _FLOOR - height, step * 0.72
    bar = f'<rect class="{side}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'
    number = f'<text class="count" x="{middle:.1f}" y="{top - 5:.1f}" text-anchor="middle">{count:,}</text>'
    label = f'<text x="{middle:.1f}" y="{_FLOOR + 18}" text-anchor="middle">{escape(word)}</text>'
    return (bar + number if count else "") + label


def _worst(rows: Iterable[Mapping[str, Any]], *, opened: bool) -> str:
    shown = "".join(_in_full(row, opened=opened and i == 0) for i, row in enumerate(rows))
    return f"<h3>Worst rows</h3>{shown or '<p>No row differs at all.</p>'}"


def _in_full(row: Mapping[str, Any], *, opened: bool) -> str:
    cause = row["cause"]
    kind = "bad" if cause == UNEXPLAINED else "warn" if cause else "good"
    said = f'<span class="badge {kind}">{escape(cause or "within tolerance")}</span>'
    head = (
        f'<summary><b>row {row["row"]:,}</b><span class="soft">{escape(row["origin"])}</span>'
        f"<span>|Δ| {row['abs_delta']:.3g} in <code>{escape(row['output'])}</code></span>{said}</summary>"
    )
    sides = (("Inputs", "inputs"), ("The original answers", "original"), ("The copy answers", "copy"))
    cells = "".join(f"<div><h4>{name}</h4><dl>{_terms(_said(row[key]))}</dl></div>" for name, key in sides)
    return f'<details{" open" if opened else ""}>{head}<div class="row">{cells}</div></details>'


def _said(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: ", ".join(map(_value, v)) if isinstance(v, list) else _value(v) for name, v in values.items()}


def _value(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _foot(report: ProofReport) -> str:
    skipped = f"<p>{escape(report.skipped)}</p>" if report.skipped else ""
    made = ", ".join(f"{tool} {version}" for tool, version in report.tools.items())
    return f"<footer>{skipped}<p>{_RULE}</p><p>{escape(made)}</p></footer>"


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    names = tuple(heads)
    numbers = ["" if i == 0 or not name else ' class="n"' for i, name in enumerate(names)]
    top = "".join(f"<th{style}>{escape(name)}</th>" for name, style in zip(names, numbers, strict=True))
    lines = ("".join(f"<td{style}>{cell}</td>" for cell, style in zip(row, numbers, strict=True)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def _pairs(values: Mapping[str, str]) -> str:
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in values.items())


def _terms(values: Mapping[str, str]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>" for name, value in values.items())


def _verdict(proven: bool) -> str:
    return "Proven" if proven else "Not proven"


def _good(proven: bool) -> str:
    return "good" if proven else "bad"
