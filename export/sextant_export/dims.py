"""The dims of one row, as one model gives them and the next takes them."""

from __future__ import annotations


def fit(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """
    Whether dims agree, -1 being any length; one value a row may be written ``()`` or ``(1,)``.

    >>> fit((-1,), (24,)), fit((), (1,)), fit((257, 9), (-1,))
    (True, True, False)
    """
    pairs = list(zip(given or (1,), wanted or (1,), strict=False))
    return len(given or (1,)) == len(wanted or (1,)) and all(-1 in pair or pair[0] == pair[1] for pair in pairs)
