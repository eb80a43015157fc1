"""What the documentation says is what happens."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from sextant_export.pipeline import load_pipeline
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e

README = Path(__file__).parents[2] / "README.md"


def test_the_program_of_the_readme_prints_what_it_says(world):
    """Every line between its prompts, on a promoted pipeline of this machine's own."""
    text = README.read_text(encoding="utf-8").partition("```python")[2].partition("```")[0]
    with EmbeddedTriton(world.store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        promote(load_pipeline(world.spec), world.store, world.registry, control)
        program = text.replace("grpc://127.0.0.1:8001", triton.address.grpc)
        test = doctest.DocTestParser().get_doctest(
            program, {"features": draw(5, seed=9).features[0]}, "README.md", None, 0
        )
        result = doctest.DocTestRunner().run(test)

    assert result.attempted == 5
    assert result.failed == 0


def test_the_page_of_the_readme_is_sound(tmp_path):
    """The YAML a reader copies passes `sextant check`."""
    page = README.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "locate.yaml").write_text(page)

    pipeline = load_pipeline(tmp_path / "locate.yaml")

    assert list(pipeline.members) == ["forest", "mlp", "knn"]
