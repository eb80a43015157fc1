"""Columns of text for people, as wide as what stands in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    r"""
    The lines of *rows*, cells below one another; those of the columns *right* end below one another.

    >>> print(*aligned([("gate", "ms"), ("p95", "8"), ("p5", "11")], right={1}), sep="\n")
    gate  ms
    p95    8
    p5    11
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths, right) for row in rows]


def _line(row: Iterable[str], widths: Iterable[int], right: Collection[int]) -> str:
    cells = enumerate(zip(row, widths, strict=True))
    return "  ".join(text.rjust(width) if i in right else text.ljust(width) for i, (text, width) in cells).rstrip()
