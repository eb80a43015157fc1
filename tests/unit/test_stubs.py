"""Which Python processes a server that ends is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sextant_server.stubs import finalizing

BLOCKS = Path(__file__).parents[2] / "model_repository"
EMPTY = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


def waited_for(model):
    """As Triton starts the process of a Python *model* whose backend is its own."""
    return finalizing([["triton_python_backend_stub", str(model), "…", "DEFAULT"]])


@pytest.mark.parametrize("block", sorted(path.name for path in BLOCKS.iterdir() if path.name != "route"))
def test_a_block_has_nothing_to_do_that_outlives_its_server(block):
    assert not waited_for(BLOCKS / block / "1" / "model.py")


def test_a_router_answers_what_it_took():
    assert waited_for(BLOCKS / "route" / "1" / "model.py")


@pytest.mark.parametrize(
    ("source", "waits"),
    [
        (EMPTY, False),
        (EMPTY + "\n    def finalize(self):\n        save()\n", True),
        ("class TritonPythonModel(Base):\n    pass\n", True),
        ((BLOCKS / "vote" / "1" / "model.py").read_text() + "        save()\n", True),
    ],
    ids=["nothing", "finalize", "a base's", "a block's own"],
)
def test_a_model_that_may_finalize_is_waited_for(tmp_path, source, waits):
    (tmp_path / "model.py").write_text(source)

    assert waited_for(tmp_path / "model.py") == waits
