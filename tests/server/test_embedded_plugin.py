"""The fixture ``triton``, as the tests of somebody else's project use it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

THEIR_TESTS = '''
import pytest
from urllib.request import urlopen

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""

CONFIG = """
backend: "python" max_batch_size: 1
input { name: "x" data_type: TYPE_FP32 dims: [1] } output { name: "y" data_type: TYPE_FP32 dims: [1] }
"""


@pytest.fixture(scope="module")
def triton_store(triton_store):
    version = triton_store / "models" / "mine" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    return triton_store


def test_their_model_is_ready(triton):
    with urlopen(triton.address.http + "/v2/models/mine/ready", timeout=10) as answer:
        assert answer.status == 200


def test_the_server_is_shared_by_the_module(triton):
    triton.check()
'''


@pytest.mark.server
def test_a_users_test_gets_a_running_server_with_its_models(pytester):
    pytester.makepyfile(THEIR_TESTS)

    result = pytester.runpytest_subprocess("-W", "error")

    result.assert_outcomes(passed=2)


@pytest.mark.server
def test_a_model_that_does_not_load_fails_their_tests_by_name(pytester):
    pytester.makepyfile(THEIR_TESTS.replace("class TritonPythonModel", "raise RuntimeError('no weights')\nclass T"))

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*ServerError: mine: RuntimeError: no weights*"])


def test_the_plugin_costs_a_run_that_does_not_use_it_nothing():
    program = "import sys, sextant_server.pytest_plugin; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"numpy", "psutil", "onnxruntime", "sextant_server.embedded"} & set(loaded.stdout.split())
