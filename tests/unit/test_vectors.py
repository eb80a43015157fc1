"""Every number of the science vectors that is about ellipses, fusion and calibration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from ellipse_vectors import SECTIONS, read_vectors, worst_relative_error

vectors = read_vectors()


@pytest.mark.skipif(vectors is None, reason="needs shared/reference/science_vectors.json beside the checkout")
@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_a_section_is_reached(section):
    """To 1e-12 for the radii, to 1e-9 for ellipses and fusion, as the science wants it."""
    assert worst_relative_error(section, vectors) <= SECTIONS[section].target
