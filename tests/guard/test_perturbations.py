"""The perturbing policies against their papers: formulas, a solver, and all extreme points."""

from itertools import product

import numpy as np
import pytest

from guard.policies.base import Policy, Rows
from guard.policies.registry import POLICIES
from guard.settings import from_options
from guard.types import Floats


def build(name: str, options: dict[str, float] | None = None) -> Policy:
    return from_options(POLICIES.get(name), options or {}, what=name)


def test_reverse_sigmoid_is_the_papers_formula_where_that_keeps_the_label() -> None:
    y = np.array([[0.7, 0.2, 0.1]])
    noisy = y - 0.7 * (1 / (1 + np.exp(-0.2 * np.log(y / (1 - y)))) - 0.5)
    answers = build("reverse-sigmoid").answer(Rows(y.astype(np.float32), ()))
    np.testing.assert_allclose(answers, noisy / noisy.sum(), atol=1e-3)  # a thousandth of the victim's own is mixed in


def test_misinformation_grows_with_the_excess_and_never_ranks_the_label_first_when_whole() -> None:
    rng = np.random.default_rng(4)
    y = rng.dirichlet(np.full(7, 0.5), size=400).astype(np.float32)
    policy = build("adaptive-misinformation", {"steepness": 10.0})
    moved = []
    for excess in (-5.0, -0.1, 0.1, 5.0, np.nan, None):
        column = None if excess is None else np.full(400, excess, np.float32)
        answers = policy.answer(Rows(y, (), excess=column, model_key=b"k"))
        moved.append(np.abs(answers - y).sum(axis=1).mean())
    assert moved[0] < 1e-6 < moved[1] < moved[2] < moved[3]
    assert moved[3] == pytest.approx(moved[4]) == pytest.approx(moved[5])
    assert (answers.argmax(axis=1) != y.argmax(axis=1)).all()
    np.testing.assert_array_equal(np.sort(answers, axis=1), np.sort(y, axis=1))


def test_misinformation_gives_near_duplicates_one_lie_and_regions_different_ones() -> None:
    y = np.array([[0.60, 0.2, 0.1, 0.06, 0.04], [0.59, 0.21, 0.09, 0.07, 0.04], [0.60, 0.1, 0.2, 0.06, 0.04]], np.float32)
    lies = build("adaptive-misinformation").answer(Rows(y, (), model_key=bytes(range(32))))
    np.testing.assert_array_equal(lies[0].argsort(), lies[1].argsort())
    assert lies[0].argsort().tolist() != lies[2].argsort().tolist()


@pytest.mark.parametrize("epsilon", [0.2, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("sharpness", [1.0, 3.0, 8.0])
def test_modelguard_reaches_what_a_solver_finds(epsilon: float, sharpness: float) -> None:
    rng = np.random.default_rng(6)
    y = softmax(sharpness * rng.normal(size=(12, 8)))
    cost = np.log(np.maximum(y, 1e-6))
    answers = build("modelguard", {"epsilon": epsilon}).answer(Rows(y, ()))
    ours = (cost * (y - answers)).sum(axis=1)
    best = np.array([(c * (row - solve(row, c, epsilon))).sum() for row, c in zip(y, cost, strict=True)])
    assert (ours <= best + 1e-3).all()
    assert (ours >= 0.99 * best).all()


def test_modelguard_is_within_its_hundredth_where_it_is_worst() -> None:
    """Nearly even answers of five classes: of 48 settings, the one with the largest shortfall."""
    y = softmax(0.3 * np.random.default_rng(6).normal(size=(25, 5)))
    cost = np.log(np.maximum(y, 1e-6))
    ours = (cost * (y - build("modelguard", {"epsilon": 1.8}).answer(Rows(y, ())))).sum(axis=1)
    best = np.array([(c * (row - solve(row, c, 1.8))).sum() for row, c in zip(y, cost, strict=True)])
    assert (1 - ours / best).max() == pytest.approx(0.0082, abs=0.0005)


def solve(y: Floats, cost: Floats, epsilon: float) -> Floats:
    """ModelGuard-W's linear program for one row, over the answer and its absolute distance from y."""
    linprog = pytest.importorskip("scipy.optimize", reason="comes with scikit-learn, an extra").linprog
    k, top, one = len(y), int(y.argmax()), np.eye(len(y))
    under_the_top = np.delete(one - one[top], top, axis=0)
    upper = np.block([[one, -one], [-one, -one], [under_the_top, np.zeros((k - 1, k))], [np.zeros((1, k)), np.ones((1, k))]])
    limits = np.concatenate([y, -y, np.zeros(k - 1), [epsilon]])
    found = linprog(
        np.concatenate([cost, np.zeros(k)]),
        A_ub=upper,
        b_ub=limits,
        A_eq=[[1.0] * k + [0.0] * k],
        b_eq=[y.sum()],
        bounds=(0, None),
    )
    assert found.success, found.message
    return np.asarray(found.x[:k], np.float32)


@pytest.mark.parametrize(("sharpness", "share"), [(3.0, 0.9), (8.0, 0.95)])
def test_mad_turns_as_far_as_the_best_of_all_extreme_points(sharpness: float, share: float) -> None:
    rng = np.random.default_rng(8)
    y = softmax(sharpness * rng.normal(size=(40, 7)))
    ours = angle(y, build("mad-argmax").answer(Rows(y, ())))
    far = [extreme_points(row) for row in y]
    reach = [np.minimum(1, 1.0 / np.abs(v - row).sum(axis=1, keepdims=True)) for v, row in zip(far, y, strict=True)]
    best = np.array([angle(row, row + h * (v - row)).max() for v, row, h in zip(far, y, reach, strict=True)])
    assert (ours <= best + 0.01).all()
    assert ours.mean() > share * best.mean()


def test_mad_leaves_out_as_much_as_its_docstring_says() -> None:
    short = []
    for sharpness, epsilon in product((1.0, 3.0, 8.0), (0.2, 0.5, 1.0, 1.5)):
        y = softmax(sharpness * np.random.default_rng(8).normal(size=(200, 7)))
        far = [extreme_points(row) for row in y]
        reach = [np.minimum(1, epsilon / np.abs(v - row).sum(axis=1, keepdims=True)) for v, row in zip(far, y, strict=True)]
        best = np.array([angle(row, row + h * (v - row)).max() for v, row, h in zip(far, y, reach, strict=True)])
        ours = angle(y, build("mad-argmax", {"epsilon": epsilon}).answer(Rows(y, ())))
        short.append(np.cos(ours) - np.cos(best))
    assert np.mean(short) == pytest.approx(0.014, abs=0.0006)
    assert np.max(short) == pytest.approx(0.33, abs=0.006)


def extreme_points(y: Floats) -> Floats:
    """Uniform over each set that holds the top label, but for the whole: (2^(k - 1) - 1, k)."""
    k, top = len(y), int(y.argmax())
    members = np.array(list(product([0.0, 1.0], repeat=k)))
    members = members[(members[:, top] == 1) & (members.sum(axis=1) < k)]
    return members / members.sum(axis=1, keepdims=True)


def angle(y: Floats, altered: Floats) -> Floats:
    a, b = y - 1 / y.shape[-1], altered - 1 / y.shape[-1]
    cosine = (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.arccos(np.clip(cosine, -1, 1))


def softmax(logits: Floats) -> Floats:
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)
