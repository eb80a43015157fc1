"""What the documentation says is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from sextant_export.pipeline import load_pipeline

pytestmark = pytest.mark.e2e

README = Path(__file__).parents[2] / "README.md"


def test_the_page_of_the_readme_is_sound(tmp_path):
    """The YAML a reader copies passes `sextant check`."""
    page = README.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "locate.yaml").write_text(page)

    pipeline = load_pipeline(tmp_path / "locate.yaml")

    assert list(pipeline.members) == ["forest", "mlp", "knn"]
