"""A page of Prometheus metrics, read and waited for."""

from __future__ import annotations

import re
import threading
import time
import urllib.request

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
PATIENCE_S = 60.0
"""How long something may take on a machine that is busy with something else; none takes that long by itself."""


def samples(url):
    """Each sample of the page at *url*: its name and labels, and its value."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {(name, frozenset(_LABEL.findall(labels))): float(said) for name, labels, said in _SAMPLE.findall(text)}


def value(url, name, **labels):
    """The sum of what the samples of this *name* that have these *labels* say; None where there is none."""
    wanted = labels.items()
    found = [said for (named, labelled), said in samples(url).items() if named == name and wanted <= labelled]
    return sum(found) if found else None


def until(asked, wanted, patience_s=PATIENCE_S):
    """What *asked* gives, once *wanted* says that it is that."""
    ends = time.monotonic() + patience_s
    while not wanted(said := asked()):
        assert time.monotonic() < ends, f"still {said!r} after {patience_s:g} s"
        threading.Event().wait(0.05)
    return said
