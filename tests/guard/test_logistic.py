"""The logistic regression: at its optimum, balanced, and blind to scale."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from guard.fitting.logistic import choose_strength, fit_logistic

RNG = np.random.default_rng(0)
INSIDE = RNG.normal(size=(300, 5)).astype(np.float32)
OUTSIDE = (RNG.normal(size=(100, 5)) + np.array([1, 0.5, 0, 0, -1])).astype(np.float32)


def objective(weights: np.ndarray, bias: float, strength: float) -> float:
    """Balanced mean loss plus strength |w|^2 / 2, w on standardised features."""
    x = np.concatenate([INSIDE, OUTSIDE]).astype(np.float64)
    sign = np.repeat([-1.0, 1.0], [len(INSIDE), len(OUTSIDE)])
    balance = np.repeat([0.5 / len(INSIDE), 0.5 / len(OUTSIDE)], [len(INSIDE), len(OUTSIDE)])
    loss = np.logaddexp(0, -sign * (x @ weights + bias))
    return float((balance * loss).sum() + strength * ((weights * x.std(axis=0)) ** 2).sum() / 2)


@pytest.mark.parametrize("strength", [1e-3, 1e-1])
def test_no_small_step_is_better(strength: float) -> None:
    weights, bias = fit_logistic(INSIDE, OUTSIDE, strength=strength)
    best = objective(weights, bias, strength)
    for step in 1e-2 * np.concatenate([np.eye(6), -np.eye(6)]):
        assert objective(weights + step[:5], bias + step[5], strength) > best - 1e-7


def correlated(n: int, seed: int) -> np.ndarray:
    """As channels of one network are: a few directions hold most of what varies."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(40, 40)) * np.geomspace(1, 1e-2, 40)[:, None]
    return (rng.normal(size=(n, 40)) @ mixing + 0.1 * seed * mixing.sum(axis=0)).astype(np.float32)


def test_log_odds_are_those_of_the_optimum_where_features_are_correlated() -> None:
    inside, outside = correlated(800, seed=2), correlated(600, seed=5)
    weights, bias = fit_logistic(inside, outside, strength=1e-3)
    x = np.concatenate([inside, outside]).astype(np.float64)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    optimum = LogisticRegression(C=1e3 / len(x), class_weight="balanced", solver="newton-cholesky", tol=1e-10, max_iter=500)
    expected = optimum.fit(z, np.repeat([0, 1], [len(inside), len(outside)])).decision_function(z)
    assert np.abs(expected).max() > 3
    np.testing.assert_allclose(x @ weights + bias, expected, rtol=0, atol=1e-3)


def noisy(n: int, n_useless: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    useless = rng.normal(size=(2, n, n_useless))
    signal = np.stack([rng.normal(size=(n, 1)) - 0.5, rng.normal(size=(n, 1)) + 0.5])
    inner, outer = np.concatenate([signal, useless], axis=2).astype(np.float32)
    return inner, outer


def test_strength_grows_with_what_there_is_to_mislead() -> None:
    few, many = (choose_strength(*noisy(60, n_useless, seed=3), folds=3) for n_useless in (0, 80))
    assert few < many


def test_images_shown_twice_do_not_vouch_for_themselves() -> None:
    inner, outer = noisy(60, 80, seed=3)
    twice = [np.concatenate([side, side]) for side in (inner[:-1], outer[:-1])]  # 59: a copy falls beside its original by itself
    assert choose_strength(*twice, folds=3, views=2) == choose_strength(inner[:-1], outer[:-1], folds=3)
    assert choose_strength(*twice, folds=3) < choose_strength(*twice, folds=3, views=2)


def test_counts_do_not_shift_the_odds() -> None:
    once, twice = fit_logistic(INSIDE, OUTSIDE, strength=1e-2), fit_logistic(np.tile(INSIDE, (2, 1)), OUTSIDE, strength=1e-2)
    probe = RNG.normal(size=(50, 5))
    gap = (probe @ once[0] + once[1]) - (probe @ twice[0] + twice[1])
    assert np.abs(gap).max() < 0.35  # standardisation sees other proportions; the balance itself does not


def test_constant_feature_gets_no_weight() -> None:
    with_constant = [np.concatenate([a, np.full((len(a), 1), 3.0, np.float32)], axis=1) for a in (INSIDE, OUTSIDE)]
    weights, _ = fit_logistic(*with_constant, strength=1e-2)
    assert weights[5] == 0
