"""The metrics of a Triton: there at all, and what they say about requests that its models failed."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.network import loopback
from sextant_cli.doctor.server.triton import Triton
from sextant_server.ports import LOOPBACK

TIMEOUT_S = 5.0
MANY = 0.01
"""A share of failed requests that is no accident any more."""
_FAILED, _ANSWERED = "nv_inference_request_failure", "nv_inference_request_success"


def _reachable(triton: Triton) -> Iterator[Finding]:
    url = _url(triton)
    try:
        said = _page(url)
    except (OSError, HTTPException) as error:
        yield _silent(url, str(getattr(error, "reason", error)))
        return
    if _ANSWERED not in said:
        yield _silent(url, f"what answers has no {_ANSWERED}")


def _silent(url: str, why: str) -> Finding:
    address = LOOPBACK if loopback(urlsplit(url).hostname or "") else "ADDRESS"
    return Finding(
        severity=WARNING,
        where=url,
        found=f"its metrics cannot be read: {why}",
        why="canaries and memory gates cannot be measured, and nobody is alarmed",
        change=f"start it with --allow-metrics=true --metrics-address={address} --metrics-port=8002, or name the right "
        "`metrics` under [[server]] in sextant.toml",
    )


def _failures(triton: Triton) -> Iterator[Finding]:
    try:
        answered, failed = _counts(_page(_url(triton)))
    except (OSError, HTTPException, ValueError) as error:
        raise NotMade(f"its metrics cannot be read: {getattr(error, 'reason', error)}") from error
    for model, count in failed.items():
        total = count + answered[model]
        yield Finding(
            severity=WARNING if count >= MANY * total else NOTE,
            found=f"model {model} failed {count:,} of {total:,} requests since it was loaded",
            why="these are failures of the model itself, not of what it was asked: a dead process fails all of them",
            change=f"read the server's log for {model}; where its process is gone, unload and load it",
        )


def _counts(page: str) -> tuple[Counter[str], Counter[str]]:
    """How many requests each model answered, and how many it failed by its own fault."""
    answered: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if family.name == _ANSWERED:
                answered[sample.labels["model"]] += int(sample.value)
            elif family.name == _FAILED and sample.labels.get("reason") == "BACKEND" and sample.value:
                failed[sample.labels["model"]] += int(sample.value)
    return answered, failed


def _url(triton: Triton) -> str:
    if triton.door and triton.metrics is None:
        raise NotMade("where its metrics are is not known: name `metrics` under [[server]] in sextant.toml")
    return str(triton.metrics)


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:  # noqa: S310  from the settings, where it was checked
        return str(page.read().decode(errors="replace"))


METRICS = Check("metrics", "Can its metrics be read?", _reachable)
FAILURES = Check("failures", "Have its models failed requests?", _failures)
