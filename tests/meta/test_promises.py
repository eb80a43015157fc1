"""The project keeps its promises about itself."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sextant.errors
from sextant.errors import SextantError

ROOT = Path(__file__).parents[2]
TOPS = ("sextant", "client", "export", "promote", "server", "cli", "loadtest", "examples")
CODE = [path for top in TOPS for path in (ROOT / top).rglob("*.py")]
HEAVY = {
    "mlflow",
    "onnx",
    "onnxruntime",
    "torch",
    "pandas",
    "yaml",
    "scipy",
    "sklearn",
    "matplotlib",
    "click",
    "opentelemetry",
    "prometheus_client",
    "gevent",
}


@pytest.mark.parametrize("package", ["sextant", "sextant.blocks", "sextant.backend", "sextant_client"])
def test_importing_it_loads_nothing_heavy(package):
    """A caller and a Triton pay for arithmetic and a connection, not for MLflow."""
    program = f"import sys, {package}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not HEAVY & set(loaded.stdout.split())


def test_the_error_tree_is_the_one_that_is_drawn():
    """Every class hangs where the module's docstring draws it."""
    drawn = [
        (re.search(r"\w", line[4:]).start(), re.search(r"[A-Z]\w+", line)[0])
        for line in inspect.getdoc(sextant.errors).splitlines()
        if re.search(r"[├└]── [A-Z]", line)
    ]

    def walk(error: type, depth: int = 0):
        for child in error.__subclasses__():
            if child.__module__ == "sextant.errors":
                yield depth, child.__name__
                yield from walk(child, depth + 1)

    indents = sorted({indent for indent, _ in drawn})

    assert [(indents.index(indent), name) for indent, name in drawn] == list(walk(SextantError))


@pytest.mark.parametrize("shell", sorted((ROOT / "model_repository").glob("*/1/model.py")), ids=lambda p: p.parts[-3])
def test_a_shell_has_no_arithmetic(shell):
    """``model.py`` stays under 30 lines: what it does is in ``sextant/``."""
    assert len(shell.read_text().splitlines()) < 30


def test_files_and_functions_stay_small():
    """No file over 400 lines, no function over 50, the median function at most 8."""
    long_files = [p.name for p in CODE if len(p.read_text().splitlines()) > 400]
    lengths = sorted(_function_lengths())

    assert long_files == []
    assert lengths[-1] <= 50
    assert lengths[len(lengths) // 2] <= 8


@pytest.mark.parametrize("package", ["sextant", "sextant_client"])
def test_the_public_names_are_in_order(package):
    """``__all__`` is sorted and every name of it is there."""
    module = __import__(package)

    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_arrows_run_one_way():
    """No package imports one that stands above it."""
    above = {
        "sextant": {"sextant_client", "sextant_export", "sextant_promote", "sextant_server", "sextant_cli"},
        "client": {"sextant_export", "sextant_promote", "sextant_server", "sextant_cli"},
        "export": {"sextant_client", "sextant_promote", "sextant_server", "sextant_cli"},
        "promote": {"sextant_server", "sextant_cli"},
        "server": {"sextant_client", "sextant_export", "sextant_promote", "sextant_cli"},
        "loadtest": {"sextant_cli"},
    }
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in CODE
        for name in _imported(path) & above.get(path.relative_to(ROOT).parts[0], set())
    ]

    assert wrong == []


def test_the_command_line_page_is_its_help():
    """``docs/cli.md`` is what ``make docs`` writes."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import cli
    finally:
        sys.path.pop(0)

    assert cli.PAGE.read_text(encoding="utf-8") == cli.page()


@pytest.mark.parametrize("error", sorted(n for n, v in vars(sextant.errors).items() if isinstance(v, type)))
def test_every_error_is_in_the_documentation(error):
    """Whoever meets an error finds it in ``docs/errors.md``."""
    assert f"`{error}`" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def _function_lengths() -> list[int]:
    lengths = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                begin = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.body[0].lineno
                lengths.append(node.end_lineno - begin + 1)
    return lengths
