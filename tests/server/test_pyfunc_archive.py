"""An environment that travels: built from wheels, unpacked elsewhere, and brought up by a real Triton."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from served_blocks import COMMITTED, copy_committed
from sextant.environment import Wanted
from sextant.errors import ConversionError
from sextant_client import Client
from sextant_export.config import read_config, write_config
from sextant_export.environment import ARCHIVE, build_archive

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

MINOR = ".".join(platform.python_version_tuple()[:2])
HOME = str(Path(sys.base_prefix) / "bin")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """For the Python of this machine, so that it can be run here; skips, saying so, where pip has no index."""
    place = tmp_path_factory.mktemp("archive") / ARCHIVE
    try:
        return build_archive(Wanted(requirements=("numpy==1.26.4",)), place, python=MINOR, home=HOME)
    except ConversionError as error:
        pytest.skip(f"an archive cannot be built here: {error}")


@pytest.fixture(scope="module")
def triton_store(triton_store, archive):
    """The committed model, which says where it was loaded from, and how it is served in its own environment."""
    place = triton_store / "models" / "pyfunc"
    copy_committed("pyfunc", place)
    shutil.copyfile(archive, place / "1" / ARCHIVE)
    model = (place / "1" / "artifact" / "code" / "sextant_example_model.py").resolve()
    model.write_text(f"import mlflow\nprint('loaded by', mlflow.__file__, flush=True)\n{model.read_text()}")
    config = read_config(place / "config.pbtxt")
    config.parameters["EXECUTION_ENV_PATH"].string_value = f"$$TRITON_MODEL_DIRECTORY/1/{ARCHIVE}"
    write_config(config, place / "config.pbtxt")
    return triton_store


def test_triton_serves_a_model_in_it(triton, triton_store):
    with Client(triton.address.grpc) as client:
        assert client.pipeline("pyfunc")(x=[[1.5]])["doubled"].tolist() == [[3.0]]

    log = (triton_store / "triton.log").read_text()
    assert re.search(rf"loaded by /tmp/python_env_\w+/0/lib/python{MINOR}/site-packages/mlflow/", log)


def test_unpacked_anywhere_it_runs_the_model_without_this_environment(archive, tmp_path):
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "elsewhere", filter="data")
    program = (
        "import json, numpy, pathlib, mlflow, sextant\n"
        "from sextant.blocks.pyfunc import Pyfunc\n"
        f"place = pathlib.Path({str(COMMITTED / 'pyfunc' / '1')!r})\n"
        "block = Pyfunc(place / 'artifact', print, json.loads((place / 'parameters.json').read_text()))\n"
        "print(mlflow.__file__, sextant.__file__, block(x=numpy.array([[1.5]]))['doubled'].tolist(), sep='\\n')\n"
    )
    python = tmp_path / "elsewhere" / "bin" / "python3"

    done = subprocess.run(
        [python, "-B", "-c", program], capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}
    )

    *places, answer = done.stdout.splitlines() or [done.stderr]
    assert answer == "[[3.0]]"
    assert all(place.startswith(str(tmp_path / "elsewhere" / "lib")) for place in places)


def test_it_names_nothing_of_the_machine_it_was_built_on(archive):
    with tarfile.open(archive) as packed:
        entries = packed.getmembers()
        activate = packed.extractfile("bin/activate").read().decode()

    assert all(entry.isfile() or entry.isdir() for entry in entries)
    assert {(entry.mtime, entry.uid, entry.uname) for entry in entries} == {(0, 0, "")}
    assert sys.prefix not in activate


def test_a_package_that_no_index_has_is_said(tmp_path):
    with pytest.raises(ConversionError, match=f"pip cannot bring the model's packages for Python {MINOR}: No matching"):
        build_archive(Wanted(requirements=("sextant-no-such-package==99",)), tmp_path / ARCHIVE, python=MINOR)

    assert list(tmp_path.iterdir()) == []
