"""The demo: the main job from nothing, again, interrupted, and on real data."""

from __future__ import annotations

import contextlib
import doctest
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sextant_server import EmbeddedTriton
from typed import typed

pytestmark = pytest.mark.e2e

README = Path(__file__).parents[2] / "README.md"
SEXTANT = Path(sys.executable).with_name("sextant")
KEYS = {
    "data",
    "rows",
    "median_error_m",
    "p95_error_m",
    "coverage",
    "median_area_m2",
    "p50_ms",
    "p95_ms",
    "seconds",
    "best_member_median_error_m",
}
CLEAN = 130, False, [], []


def demo(folder, *words):
    return subprocess.run([SEXTANT, "demo", "--folder", folder, *words], capture_output=True, text=True, timeout=170)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """One run from nothing: its folder and its JSON."""
    folder = tmp_path_factory.mktemp("demo")
    done = demo(folder, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def test_it_ends_with_one_json_object(first):
    """Every figure the documentation names, in its unit."""
    _, outcome, _ = first

    assert outcome.keys() >= KEYS
    assert outcome["coverage"].keys() == {"0.5", "0.9", "0.95"}
    assert outcome["rows"] == 1600


def test_its_ellipses_keep_their_promise(first):
    """On held-back walks, and the fused answer is no worse than a tenth over the best member."""
    _, outcome, _ = first

    assert all(abs(share - float(level)) < 0.06 for level, share in outcome["coverage"].items())
    assert outcome["median_error_m"] < 1.1 * outcome["best_member_median_error_m"]


def test_it_leaves_a_map_a_picture_and_a_page(first):
    """The map is GeoJSON with fixes and closed rings; the page is one a reader could have written."""
    folder, _, _ = first
    features = json.loads((folder / "demo" / "fixes.geojson").read_text())["features"]
    rings = [f["geometry"]["coordinates"][0] for f in features if f["geometry"]["type"] == "Polygon"]

    assert (folder / "demo" / "fixes.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "demo" / "locate.yaml").is_file()
    assert rings
    assert all(ring[0] == ring[-1] for ring in rings)


def test_every_step_is_announced(first):
    """With its seconds and its result."""
    _, _, narration = first

    for step in ("open the MLflow registry", "train", "prove parity", "start Triton", "prove again", "flip", "ask"):
        assert step in narration


def test_running_it_again_skips_what_is_still_valid(first):
    """Nothing is trained, exported or flipped a second time, and the figures are the same."""
    folder, outcome, _ = first

    again = demo(folder, "--json")

    assert again.returncode == 0, again.stderr
    assert again.stderr.count("still valid") == 4
    assert "convert" not in again.stderr
    assert json.loads(again.stdout)["median_error_m"] == pytest.approx(outcome["median_error_m"])


def test_the_program_of_the_readme_prints_what_it_says(first):
    """Run line by line on the demo's own store; its numbers but for what training differs by between processors."""
    folder, _, _ = first
    text = README.read_text(encoding="utf-8").partition("```python")[2].partition("```")[0]
    examples = doctest.DocTestParser().get_examples(text.replace("var/demo", str(folder / "demo")))
    names = {}

    with EmbeddedTriton(folder / "store") as triton:
        for example in examples:
            source = example.source.replace("grpc://127.0.0.1:8001", triton.address.grpc)
            if not example.want:
                exec(source, names)
                continue
            printed = eval(source, names)
            wanted = eval(example.want.replace("...", ""))
            assert printed == pytest.approx(wanted, rel=0.05)

    assert "fix" in names


@pytest.fixture
def trained(first, tmp_path):
    """The registry of the first run, and no store yet."""
    folder, _, _ = first
    shutil.copytree(folder, tmp_path, ignore=shutil.ignore_patterns("store"), dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("moment", ["to calibrate with", "open the MLflow registry"])
def test_ctrl_c_leaves_nothing_behind(tmp_path, moment):
    """No process and no shared memory, whatever was under way; no traceback either."""
    assert interrupted_at(moment, tmp_path) == CLEAN


@pytest.mark.parametrize("moment", ["start Triton", "load locate"])
def test_ctrl_c_leaves_nothing_behind_when_the_members_are_trained(trained, moment):
    assert interrupted_at(moment, trained) == CLEAN


def interrupted_at(moment, folder):
    """What Ctrl-C as soon as the demo says *moment* leaves: exit code, traceback, servers and shared memory."""
    running = started(folder, moment)
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=150)

    return running.returncode, "Traceback" in rest, servers_of(folder), regions_of(running.pid)


@pytest.mark.parametrize("moment", ["start Triton", "ask for"])
def test_an_impatient_ctrl_c_leaves_nothing_behind_either(first, moment):
    """Three times within a third of a second, on a store that is promoted already."""
    folder, _, _ = first
    running = started(folder, moment)
    for _ in range(3):
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=0.15)
    _, rest = running.communicate(timeout=150)

    assert "Traceback" not in rest
    assert servers_of(folder) == []
    assert regions_of(running.pid) == []


def test_ctrl_c_is_not_enough_training(tmp_path):
    """scikit-learn's perceptron would take it for "enough" and be registered half trained."""
    running = started(tmp_path, "locator-mlp")
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(timeout=0.7)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=150)

    assert running.returncode == 130


def test_the_real_survey_is_answered(tmp_path, real_data):
    """19,937 real fingerprints; the targets themselves are a benchmark's business."""
    done = demo(tmp_path, "--json", "--data", real_data / "ujiindoorloc")

    outcome = json.loads(done.stdout)
    assert outcome["rows"] == 3988
    assert outcome["median_error_m"] < 6
    assert all(abs(share - float(level)) < 0.08 for level, share in outcome["coverage"].items())


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (None, b"", "nowhere"),
        ("trainingData.csv", b"a,b\n1,2\n", "column"),
        ("trainingData.csv.gz", b"\x1f\x8b\x08\x00cut", "trainingData.csv.gz"),
    ],
    ids=["absent", "another table", "cut short"],
)
def test_a_survey_that_is_none_ends_in_one_sentence(tmp_path, name, content, sentence):
    """Exit code 1, before anything is trained."""
    path = tmp_path / (name or "nowhere")
    if name:
        path.write_bytes(content)

    done = typed("demo", "--folder", "var", "--data", path, folder=tmp_path)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def started(folder, moment):
    """A demo that came to *moment*; it hears Ctrl-C even where the tests were started in the background, deaf to it."""
    running = subprocess.Popen(
        [SEXTANT, "demo", "--folder", folder],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads here
    )
    for line in running.stderr:
        if moment in line:
            break
    return running


def regions_of(launcher):
    return list(Path("/dev/shm").glob(f"*_sextant_{launcher}_*"))


def servers_of(folder):
    named = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
    return [process for process in named if any(str(folder) in word for word in process.info["cmdline"])]
