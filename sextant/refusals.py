"""Why a request was refused, in one word of a small vocabulary: sentences are for people, and no two are alike."""

from __future__ import annotations

import re

from sextant.errors import FusionError, InputRefused, SextantError

OTHER = "other"
# What came, or what was expected, says it; the first row that fits holds.
_BY_WORDS = (
    ("too_few_members", "tensor", re.compile(r"^(fused_)?members")),
    ("missing", "came", re.compile(r"^(none|)$")),
    ("unexpected", "came", re.compile(r"^(one more|more|[a-z_0-9]+ and .*)$")),
    ("shape", "came", re.compile(r"^(shape |lists of unequal length|no rows)")),
    ("shape", "expected", re.compile(r"^as many rows as ")),
    ("not_finite", "came", re.compile(r"(^|[\[ ])[-+]?(nan|inf)\b", re.IGNORECASE)),
    ("unknown_text", "came", re.compile(r"^b?['\"]")),
    ("covariance", "expected", re.compile(r"covariances|standard deviations|logarithms of variances")),
    ("out_of_range", "came", re.compile(r"^[-+]?\d")),
    ("type", "came", re.compile(r"^\w+$")),
)
REASONS = (*dict.fromkeys(reason for reason, *_ in _BY_WORDS), "fusion", OTHER)
"""Every word there is."""


def reason_of(error: SextantError) -> str:
    """
    The kind of fault that *error* refuses a request for, one of ``REASONS``.

    >>> reason_of(InputRefused("features", "finite numbers", "nan in row 0, column 2"))
    'not_finite'
    >>> reason_of(InputRefused("features", "rows of 520 numbers", "shape [1, 519]"))
    'shape'
    """
    if isinstance(error, FusionError):
        return "fusion"
    if not isinstance(error, InputRefused):
        return OTHER
    return next((reason for reason, what, words in _BY_WORDS if words.search(getattr(error, what))), OTHER)
