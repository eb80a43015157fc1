"""Whether a graph answers as its ensemble: in metres, to a millimetre, and on which rows a server may be asked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fusing_world import RANDOM, Fused, page, three_members
from sextant.errors import ParityError
from sextant_export.fusing.proof import in_metres, prove_graph, tolerances
from sextant_export.fusing.rehearsal import rehearse
from sextant_export.fusing.steadiness import steady


@pytest.fixture
def trees(tmp_path):
    return three_members(tmp_path)


POSITIONS = np.stack([RANDOM.uniform(47.99, 48.01, 50), RANDOM.uniform(10.99, 11.01, 50)], axis=-1)


def proven(expected, given, *, exact=True):
    feed = {"features": np.zeros((50, 1), np.float32)}
    allowed = tolerances(in_metres(expected), exact=exact, reach_m=2000.0)
    return prove_graph(expected, given, feed, lambda again: repeated(expected, again), allowed)


def repeated(expected, feed):
    """An ensemble that never changes its mind."""
    rows = len(feed["features"])
    return {name: np.resize(array, (rows, *array.shape[1:])) for name, array in expected.items()}


def test_a_graph_that_is_off_by_a_centimetre_is_no_proof():
    """A millimetre is tolerated where nothing computes otherwise, and what FP32 rounds of two kilometres."""
    near, far = POSITIONS.copy(), POSITIONS.copy()
    near[3, 0] += 9e-9
    far[3, 0] += 9e-8

    proof = proven({"position": POSITIONS}, {"position": near})

    assert 5e-4 < proof.outputs["position"].max_abs_delta < 1e-3
    assert proof.outputs["position"].tolerance == pytest.approx(1e-3 + 8 * 2000 * 2**-23)
    with pytest.raises(ParityError, match="row 3, output 'position'"):
        proven({"position": POSITIONS}, {"position": far})


def test_where_a_step_computes_otherwise_the_members_own_spread_says_what_is_tolerated():
    """A ten-thousandth of it, as of any export; how far the earth's centre is says nothing."""
    allowed = tolerances(in_metres({"position": POSITIONS}), exact=False, reach_m=0.0)["position"].value

    assert 0.03 < allowed < 0.08


def test_positions_on_both_sides_of_the_antimeridian_are_near():
    """In metres, not in degrees."""
    one, other = np.tile([10.0, 180.0], (50, 1)), np.tile([10.0, -180.0], (50, 1))

    assert proven({"position": one}, {"position": other}).outputs["position"].max_abs_delta < 1e-6


def test_the_bearing_of_a_circle_means_nothing_and_that_of_an_ellipse_does():
    """An ellipse is compared by its axes and by how much longer it is, east and north."""
    circle = np.tile([[5.0, 5.0, 10.0]], (50, 1, 1))
    turned = np.tile([[5.0, 5.0, 100.0]], (50, 1, 1))
    longer, again = np.tile([[9.0, 5.0, 0.0]], (50, 1, 1)), np.tile([[9.0, 5.0, 179.999999]], (50, 1, 1))

    assert proven({"ellipse": circle}, {"ellipse": turned}).outputs["ellipse"].max_abs_delta == 0
    assert proven({"ellipse": longer}, {"ellipse": again}).outputs["ellipse"].max_abs_delta < 1e-6
    with pytest.raises(ParityError):
        proven({"ellipse": longer}, {"ellipse": longer + np.array([0, 0, 1.0])})


def test_a_number_where_the_ensemble_refuses_is_no_proof():
    """NaN is equal to NaN alone."""
    refused = POSITIONS.copy()
    refused[5] = np.nan

    assert proven({"position": refused}, {"position": refused}).outputs["position"].nan_pairs == 3
    with pytest.raises(ParityError):
        proven({"position": refused}, {"position": POSITIONS})


def answered_by(member, answer):
    """*member*, which is asked here by *answer* and not by its graph."""
    member.copied = SimpleNamespace(answer=answer)
    return member


def steady_rows(members, folder, rows):
    fused = Fused(page(), members, folder)
    told = rehearse(fused.parts, {"features": rows})
    allowed = tolerances(in_metres({"position": told.tensors["position"]}), exact=True, reach_m=100.0)
    return steady(fused.parts, told, allowed, 64).tolist()


def test_rows_that_come_out_otherwise_in_another_batch_are_not_expected_of_a_server(trees, tmp_path):
    """Two classes that tie fall to either side as sums are added up in another order."""
    usual = trees[0].copied.answer

    def torn(feed):
        answers = usual(feed)
        tie = np.isclose(feed["x"][:, 0], 107.0)
        return {"y": answers["y"] + np.where(tie & (len(tie) < 9), 50.0, 0.0)[:, None].astype(np.float32)}

    rows = RANDOM.uniform(0, 4, (40, 3)).astype(np.float32)
    rows[11, 0], rows[12] = 7.0, np.nan

    kept = steady_rows([answered_by(trees[0], torn), *trees[1:]], tmp_path, rows)

    assert sorted(set(range(40)) - set(kept)) == [11, 12]


def test_rows_on_a_threshold_are_not_expected_of_a_server(trees, tmp_path):
    """A unit in the last place decides, and here it is moved."""
    usual = trees[0].copied.answer

    def split(feed):
        return {"y": usual(feed)["y"] + np.where(feed["x"][:, :1] <= np.float32(102.5), 0, 80).astype(np.float32)}

    rows = RANDOM.uniform(0, 4, (40, 3)).astype(np.float32)
    rows[5, 0] = 2.5

    assert 5 not in steady_rows([answered_by(trees[0], split), *trees[1:]], tmp_path, rows)


def test_rows_that_are_no_edge_are_expected_of_it(trees, tmp_path):
    """All of them."""
    rows = RANDOM.uniform(0, 4, (40, 3)).astype(np.float32)

    assert steady_rows(trees, tmp_path, rows) == list(range(40))
