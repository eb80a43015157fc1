"""The weights of covariance intersection are exact, and the same in any company but for rounding."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.covariance import inverse
from sextant.intersection import intersection_weights
from sextant.plane import covariance_intersection

COVARIANCES = np.array([[[100.0, 0], [0, 400]], [[225, 50], [50, 100]], [[400, -100], [-100, 225]]])
MEANS = np.array([[0.0, 0.0], [30.0, 10.0], [-10.0, 20.0]])
SIZE = {"determinant": np.linalg.det, "trace": lambda p: np.trace(p, axis1=-2, axis2=-1)}


def precisions(rows, members, seed):
    """Those of ellipses of all shapes, up to a thousand times as long as wide."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, np.pi, (rows, members))
    axes = 10 ** rng.uniform(-1, 2, (rows, members, 2))
    root = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], -1).reshape(rows, members, 2, 2)
    return inverse(root @ (axes[..., None] ** 2 * np.eye(2)) @ np.swapaxes(root, -1, -2))


def outcome(weights, of):
    return np.linalg.inv(np.einsum("...m,...mij->...ij", weights, of))


def test_the_science_vectors_to_a_billionth():
    least = covariance_intersection(MEANS, COVARIANCES)

    assert intersection_weights(inverse(COVARIANCES)) == pytest.approx([0.25, 0.75, 0], abs=1e-12)
    assert least.mean == pytest.approx([16.985294117647058, 6.617647058823529], rel=1e-9)
    assert np.linalg.det(least.covariance) == pytest.approx(18823.529411764706, rel=1e-9)


def test_the_least_trace_of_the_science_vectors():
    weights = intersection_weights(inverse(COVARIANCES), "trace")

    assert weights == pytest.approx([0.382243, 0.617757, 0], abs=1e-6)
    least = covariance_intersection(MEANS, COVARIANCES, minimise="trace")
    assert np.trace(least.covariance) == pytest.approx(283.567878, abs=1e-6)


@pytest.mark.parametrize("minimise", ["determinant", "trace"])
@pytest.mark.parametrize("members", [2, 3])
def test_no_point_of_a_dense_grid_is_better(members, minimise):
    of = precisions(40, members, seed=members)
    steps = np.arange(0, 201) / 200
    grid = np.stack(np.meshgrid(*[steps] * (members - 1)), -1).reshape(-1, members - 1)
    grid = np.column_stack([grid, 1 - grid.sum(axis=1)])[grid.sum(axis=1) <= 1]

    found = SIZE[minimise](outcome(intersection_weights(of, minimise), of))
    tried = np.array([SIZE[minimise](outcome(grid, one[None])).min() for one in of])

    assert (found <= tried * (1 + 1e-12)).all()
    assert (found >= tried * 0.98).all()


@pytest.mark.parametrize("minimise", ["determinant", "trace"])
@pytest.mark.parametrize("members", [2, 3, 4, 5, 8])
def test_no_member_would_gain_from_more_weight(members, minimise):
    """What makes a point of a convex problem its best one: no direction leads further down."""
    of = precisions(2000, members, seed=10 + members)

    weights = intersection_weights(of, minimise)

    best = outcome(weights, of)
    value = best / 2 if minimise == "determinant" else best @ best / SIZE["trace"](best)[:, None, None]
    gain = np.einsum("bij,bmji->bm", value, of)
    assert gain.max() <= 1 + 1e-6
    assert gain[weights > 1e-9] == pytest.approx(1, abs=1e-6)
    assert weights.sum(axis=-1) == pytest.approx(1)
    assert (weights >= 0).all()


def test_three_members_count_at_most():
    """Symmetric matrices of two rows have three numbers, and the best lies on the outside of their hull."""
    weights = intersection_weights(precisions(3000, 8, seed=1))

    assert set(np.sum(weights > 0, axis=-1)) == {1, 2, 3}


def test_a_row_answers_alone_as_in_company():
    of = precisions(64, 5, seed=2)

    together = intersection_weights(of)

    alone = np.concatenate([intersection_weights(of[i : i + 1]) for i in range(64)])
    assert together == pytest.approx(alone, rel=1e-12, abs=1e-12)


def test_the_order_of_members_does_not_count():
    of, order = precisions(50, 4, seed=3), [2, 0, 3, 1]

    assert intersection_weights(of[:, order]) == pytest.approx(intersection_weights(of)[:, order], abs=1e-9)


@pytest.mark.parametrize("minimise", ["determinant", "trace"])
def test_members_that_are_equally_sure_share_the_weight(minimise):
    same = np.tile(inverse(COVARIANCES[1]), (4, 1, 1))

    assert intersection_weights(same, minimise).tolist() == [0.25] * 4
    pair = inverse(np.array([np.diag([4.0, 1.0]), np.diag([4.0, 1.0]), np.diag([1.0, 4.0])]))
    assert intersection_weights(pair, minimise) == pytest.approx([0.25, 0.25, 0.5])


def test_a_member_without_information_gets_no_weight():
    """So are those marked whom the gate left out."""
    of = inverse(COVARIANCES) * np.array([1.0, 0.0, 1.0])[:, None, None]

    weights = intersection_weights(of)

    assert weights[1] == 0
    assert weights[[0, 2]] == pytest.approx(intersection_weights(of[[0, 2]]))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_does_not_count(scale):
    of = precisions(20, 3, seed=4)

    assert intersection_weights(of * scale) == pytest.approx(intersection_weights(of), abs=1e-9)


def test_one_member_is_its_own_intersection():
    assert intersection_weights(np.eye(2)[None]).tolist() == [1.0]
    assert intersection_weights(np.empty((0, 3, 2, 2))).shape == (0, 3)


def test_it_is_never_too_sure_however_errors_are_shared():
    """Of any joint covariance of the two errors, the outcome's own error is no larger than it says."""
    rng = np.random.default_rng(5)
    spreads = np.array([[[9.0, 2.0], [2.0, 4.0]], [[3.0, -1.0], [-1.0, 8.0]]])
    roots = np.linalg.cholesky(spreads)
    said = covariance_intersection(np.zeros((2, 2)), spreads).covariance
    weights = intersection_weights(inverse(spreads))
    gains = [said @ (w * np.linalg.inv(c)) for w, c in zip(weights, spreads, strict=True)]

    for _ in range(500):
        cross, _ = np.linalg.qr(rng.normal(size=(2, 2)))
        cross *= rng.uniform(0, 1)
        shared = roots[0] @ cross @ roots[1].T
        true = sum(g @ c @ g.T for g, c in zip(gains, spreads, strict=True))
        true = true + gains[0] @ shared @ gains[1].T + gains[1] @ shared.T @ gains[0].T
        assert np.linalg.eigvalsh(said - true).min() >= -1e-12
