"""The arithmetic of docs/kubernetes.md comes out as it stands there, and begins at figures that were measured."""

from __future__ import annotations

import doctest
import re

import pytest

from manifests import ROOT, container, of_kind, pods, rendered
from sextant_export.pipeline import load_pipeline

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def calculated():
    """Every name of the page with its value, after each line came out as it stands there."""
    page = (DOCS / "kubernetes.md").read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(page, {}, "kubernetes.md", str(DOCS / "kubernetes.md"), 0)
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(test, out=said.append, clear_globs=False)
    assert outcome.attempted >= 20
    assert outcome.failed == 0, "".join(said)
    return test.globs


def cells(page, row):
    """The cells of the row of a table that begins with *row*."""
    (found,) = re.findall(
        rf"^\| {re.escape(row)}[^|]*\|(.*)\|$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE
    )
    return [cell.strip() for cell in found.split("|")]


def test_what_a_row_costs_was_measured(calculated):
    """It is what the page of the fused graph says."""
    ensemble, graph, _ = cells("fused-graph.md", "the server's processor a row")

    assert (ensemble, graph) == (f"{calculated['ensemble_ms']} ms", f"{calculated['graph_ms']} ms")


def test_what_the_laws_are_held_against_was_measured():
    """Rates and waits of 32 callers, on the same page."""
    rates = cells("fused-graph.md", "three small tabular members, 32 callers of one row")
    waits = cells("fused-graph.md", "half of the callers wait less than")

    assert (rates[:2], waits[:2]) == (["1,295", "3,465"], ["24.3 ms", "9.1 ms"])


def test_what_a_router_costs_was_measured(calculated):
    said = (DOCS / "canary.md").read_text(encoding="utf-8")

    assert f"the router's throughput was {calculated['routed']} to 0.60 of the ensemble's" in said


def test_the_manifests_are_what_was_calculated(calculated):
    """A pod's cores, the autoscaler's two targets and its bounds."""
    manifests = rendered("kubernetes/overlays/cpu")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler").values()
    queue, processor = scaler["spec"]["metrics"]
    limits = container(pods(manifests)["triton"], "triton")["resources"]["limits"]

    assert limits["cpu"] == str(calculated["cores"])
    assert processor["resource"]["target"]["averageUtilization"] == round(100 * calculated["target"])
    assert queue["pods"]["target"]["averageValue"] == f"{calculated['queue_target_ms']}m"
    assert scaler["spec"]["maxReplicas"] == calculated["most_pods"]
    assert scaler["spec"]["minReplicas"] <= min(calculated["pods"].values())


def test_the_queue_delay_is_the_usual_one():
    """The target of the queue time is ten times what a pipeline waits for company by itself."""
    page = load_pipeline(ROOT / "deploy" / "kubernetes" / "base" / "pipelines" / "locate.yaml")

    assert page.serving.max_queue_delay_us == 500
