"""What ``sextant plan`` and ``sextant status`` say of a graph."""

from __future__ import annotations

from sextant_cli.verbs.plan import _words as planned
from sextant_cli.verbs.status import _words as told
from sextant_export.release import Plan
from sextant_promote.status import GraphStatus, PipelineStatus, ServerStatus

LEFT = {"fuse": "its gate may leave out one of 4 members"}


def plan(left):
    return Plan(pipeline="locate", release=2, exists=False, serving=1, members={"oak": (1, 1)}, left=left)


def status(graph):
    here = ServerStatus(url="grpc://here", release=1)
    return list(
        told((PipelineStatus(pipeline="locate", promoted=1, serving=1, releases=(), graph=graph, servers=(here,)),))
    )


def test_a_plan_names_the_steps_that_stay_out_of_the_graph():
    """And says where it sees none; a page that asks for no graph gets no word of it."""
    lines = planned(plan(LEFT)).splitlines()

    assert lines[-1] == "  not in one graph: fuse: its gate may leave out one of 4 members"
    assert planned(plan({})).splitlines()[-1].startswith("  in one graph: every step")
    assert "graph" not in planned(plan(None))


def test_a_status_names_the_graph_its_steps_and_what_was_left():
    """One line each."""
    graph = GraphStatus(model="locate.graph", steps=("scale", "members"), left=LEFT)

    assert status(graph)[2:] == [
        "  graph locate.graph: scale, members",
        "  graph without fuse: its gate may leave out one of 4 members",
    ]
    assert status(GraphStatus(model=None, steps=(), left=LEFT))[2] == "  graph: none, no step could be fused"
    assert len(status(None)) == 2
