"""The outcome of a load as one page of HTML: the verdict, then what it rests on; nothing is fetched to show it."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path

from sextant.errors import LoadTestError
from sextant_loadtest.limits import Limits
from sextant_loadtest.load import INTERRUPTED
from sextant_loadtest.plots import drawings
from sextant_loadtest.table import error_lines, figure_rows, limit_rows
from sextant_loadtest.verdict import Verdict

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.verdict { padding: .7rem 1rem; border-left: .4rem solid; background: #f4f6f7; font-size: 1.1rem; }
.passed { border-color: #2e8b57; } .failed { border-color: #b03a48; } .none { border-color: #888; }
table { border-collapse: collapse; } th, td { padding: .25rem 0 .25rem 1.6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; border-bottom: 1px solid #bbb; }
tr.missed td { color: #b03a48; font-weight: 600; } svg { width: 100%; height: auto; } .facts { color: #555; }
"""


def write_report(path: Path, verdict: Verdict, limits: Limits, inputs: str) -> None:
    """
    Write the page of *verdict* to *path*, in one step; *inputs* says what was asked with.

    ``LoadTestError`` where it cannot be written; what was there before then stays.
    """
    place = path.resolve()
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page(verdict, limits, inputs), encoding="utf-8")
        partial.replace(place)
    except OSError as error:
        raise LoadTestError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def page(verdict: Verdict, limits: Limits, inputs: str) -> str:
    """The page as text."""
    title = escape(f"Load test of {verdict.outcome.plan.pipeline}")
    body = "\n".join(_parts(verdict, limits, inputs))
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n'


def _parts(verdict: Verdict, limits: Limits, inputs: str) -> Iterator[str]:
    outcome = verdict.outcome
    how = "passed" if verdict.passed else "none" if outcome.ended == INTERRUPTED else "failed"
    yield f'<p class="verdict {how}">{escape(str(verdict))}</p>'
    yield "".join(f'<p class="facts">{escape(line)}</p>' for line in _facts(verdict, inputs))
    yield "".join(f"<p><b>Doubtful:</b> {escape(warning)}.</p>" for warning in outcome.warnings)
    yield f"<h2>Limits</h2>{_table(limit_rows(verdict), [not each.passed for each in verdict.judged])}"
    yield f"<h2>Figures</h2>{_table(figure_rows(verdict))}"
    if errors := list(error_lines(verdict)):
        yield f"<h2>Errors</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in errors)}</ul>"
    bounds: dict[str, set[float]] = defaultdict(set)
    for name, limit in (each for users in outcome.by_class for each in limits.of(users).items()):
        bounds[name].add(limit.bound)
    for heading, drawing in drawings(outcome, bounds).items():
        yield f"<h2>{escape(heading)}</h2>{drawing}"


def _facts(verdict: Verdict, inputs: str) -> Iterator[str]:
    outcome, plan = verdict.outcome, verdict.outcome.plan
    pace = "as soon as they were answered" if plan.rate_rps is None else f"{plan.rate_rps:g} times a second at most"
    yield (
        f"{plan.users} users, {plan.shape}, for {plan.duration_s:g} s from {outcome.began}, at {', '.join(plan.urls)}; "
        f"each asked {plan.rows} {'row' if plan.rows == 1 else 'rows'}, {pace}."
    )
    yield f"Rows: {inputs}, drawn with seed {plan.seed}. A request had {plan.timeout_s:g} s."
    yield (
        f"Asked from {platform.node()}, {os.cpu_count()} cores, by {plan.processes} "
        f"{'process' if plan.processes == 1 else 'processes'} of Locust {version('locust')}, "
        f"Sextant {version('triton-sextant')}."
    )


def _table(rows: Sequence[Sequence[str]], missed: Sequence[bool] = ()) -> str:
    head, *body = rows
    marks = [' class="missed"' if row else "" for row in missed] or [""] * len(body)
    lines = (f"<tr{mark}>{_cells('td', row)}</tr>" for mark, row in zip(marks, body, strict=True))
    return f"<table><tr>{_cells('th', head)}</tr>{''.join(lines)}</table>"


def _cells(tag: str, row: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
