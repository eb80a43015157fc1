"""
What ``sextant loadtest --tune`` finds for a tabular model and for a small convolutional network, from the defaults on.

Each is a pipeline of one member. The search goes its whole way, on a Triton of its own, and confirms on measurements of
their own what it found; the table of all it compared goes to stderr. A gain is that of the confirmation, in throughput.
Where nothing was certainly better the page stays as it is, which is no fault: the gain is then 0.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from configurations.configuration import Configuration
from configurations.networks import CONFIGURATIONS as NETWORKS
from configurations.serving import Workshop
from served_throughput import MODELS
from sextant_cli.narrator import Narrator
from sextant_export.pipeline import Pipeline
from sextant_export.release import export
from sextant_loadtest.load import LoadPlan
from sextant_loadtest.tuning.search import Tuned
from sextant_loadtest.tuning.table import table, words
from sextant_loadtest.tuning.tune import tuning

USERS = 32
SECONDS, QUICK_SECONDS = 600.0, 260.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the tabular model alone, in short measurements")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="tuning-") as folder:
        workshop = Workshop(Path(folder))
        for name, model in chosen(quick=quick).items():
            tell(name, tuned(workshop, model, QUICK_SECONDS if quick else SECONDS))


def chosen(*, quick: bool) -> dict[str, Configuration]:
    """A boosted forest, and unless it is to be *quick*, a convolutional network of handwritten digits."""
    network = next(each for each in NETWORKS if each.flavor == "pytorch" and each.model == "convolutional network")
    return {"tabular": MODELS[1]} | ({} if quick else {"convolution": network})


def tuned(workshop: Workshop, model: Configuration, seconds: float) -> Tuned:
    """What suits *model*, from the defaults on."""
    workshop.log(model)
    member = {"model_uri": f"models:/{model.name}/1"}
    page = Pipeline.from_mapping(
        {"name": f"{model.name}-p", "answer": "tensors", "members": {"model": member}, "steps": ["members"]}
    )
    export(page, workshop.store, workshop.registry, Narrator(io.StringIO()))
    plan = LoadPlan(pipeline=page.name, urls=("grpc://127.0.0.1:0",), users=USERS)
    with tuning(page, workshop.store, workshop.registry, plan, duration_s=seconds) as session:
        return session.tune()


def tell(name: str, found: Tuned) -> None:
    print(f"{name}: {words(found.after)}\n{table(found)}\n", file=sys.stderr)
    (first, *_), last = found.comparisons, found.comparisons[-1]
    now = (last if found.gain else first).trials[0]
    report(f"tuning.{name}.now", round(now.median_rps, 1), "requests/s")
    if found.gain and found.changes:
        report(f"tuning.{name}.tuned", round(last.trials[1].median_rps, 1), "requests/s")
    gain = found.gain.mean if found.gain and found.changes else 0.0
    report(f"tuning.{name}.gain", round(gain, 3), "1")


if __name__ == "__main__":
    main()
