"""Pouring: the linear program of ModelGuard-W, solved for all rows at once by its shape.

Minimise sum(y' log y) over y' with sum 1, at most `budget` of probability moved, and no class above the label. Fix the
label's new value t, the ceiling. Then what lies above it must come down to it, the likeliest others are emptied and the least
likely filled up to it, as far as the budget goes. The optimum is convex in t, so a search on finer and finer grids finds it.
"""

from collections.abc import Callable

import numpy as np

from guard.types import Array

_FLOOR = 1e-6  # the paper's: less likely classes all cost the same, and log(0) is no number
_ROUNDS = 2
_GRID = np.linspace(0.0, 1.0, 20)  # each round leaves a tenth of the bracket


class Pouring:
    """Rows (n, k), k at least 2, in rising order, the label last, and the `budget` that may be moved.

    Prefix sums and bisection make one trial of t some log2(k) steps, where pouring itself would take a dozen passes over k.
    """

    def __init__(self, rising: Array, *, budget: float) -> None:
        rising = rising / rising.sum(axis=1, keepdims=True)
        cost = np.log(np.maximum(rising, _FLOOR, dtype=np.float32))  # float32 will do: costs only weigh choices
        self._budget = budget
        self._label, self._label_cost = rising[:, -1:], cost[:, -1:]
        self._others, self._cost = rising[:, :-1], cost[:, :-1]
        self._n_others = rising.shape[1] - 1
        self._count = np.arange(self._n_others + 1)
        self._mass = _prefix(self._others)
        self._costs = _prefix(self._cost)
        self._likelihood = _prefix(self._cost * self._others)

    def best(self) -> Array:
        """Return the best rows (n, k) in the same order."""
        return self._pour(self._search())

    def _search(self) -> Array:
        """Return the best ceilings (n, 1): of all that were tried, for sure rows have theirs at an end of the bracket."""
        low, high = self._lowest(), np.minimum(self._label + self._budget, 1.0)
        for _ in range(_ROUNDS):
            tried = low + _GRID * (high - low)
            best = self._change(tried).argmin(axis=1)[:, None]
            low, high = _at(tried, np.maximum(best - 1, 0)), _at(tried, np.minimum(best + 1, len(_GRID) - 1))
        return _at(tried, best)

    def _lowest(self) -> Array:
        """Return the (n, 1) ceiling above which lies just the budget; none is below 1/k, where all classes are equal."""
        # If exactly the m largest lie above, the level is their sum less the budget, over m: the greatest of these is the one.
        above = 1.0 - self._mass[:, ::-1]
        levels = (above - self._budget) / (self._count + 1)
        return np.asarray(np.maximum(levels.max(axis=1, keepdims=True), 1 / (self._n_others + 1)))

    def _flows(self, t: Array) -> tuple[Array, Array, Array]:
        """Return for ceilings (n, g): how many others are not above, what is filled, and what is emptied of free will."""
        n_below = _leading(lambda i: _at(self._others, i) <= t, np.full(t.shape, self._n_others))
        mass_below = _at(self._mass, n_below) + (self._n_others - n_below) * t
        forced = 1.0 - t - mass_below  # from above the ceiling; below 0 where the label itself has to be lifted
        # The most that can be filled: n_full classes have the ceiling, one has what is left, and the likelier ones nothing.
        n_full = np.minimum((1.0 / t + 1e-9).astype(np.intp) - 1, self._n_others - 1)
        n_whole = np.minimum(n_full, n_below)  # those above the ceiling have come down to it and have no room
        rest = np.clip(1.0 - (n_full + 1) * t, 0.0, t) - np.minimum(_at(self._others, n_full), t)
        most = n_whole * t - _at(self._mass, n_whole) + np.maximum(rest, 0.0)
        filled = np.maximum(np.minimum(self._budget + np.minimum(forced, 0.0), most), np.maximum(forced, 0.0))
        return n_below, filled, filled - forced

    def _change(self, t: Array) -> Array:
        """Return by how much the objective changes (n, g) with g ceilings a row."""
        n_below, filled, emptied = self._flows(t)
        n_full = _leading(lambda i: (i + 1) * t - _at(self._mass, i + 1) <= filled, n_below)
        gain = t * _at(self._costs, n_full) - _at(self._likelihood, n_full)
        gain += self._cost_of(n_full) * (filled - n_full * t + _at(self._mass, n_full))
        # Forced down to the ceiling; then emptied, first of those that stand at it.
        costs_below, likelihood_below = _at(self._costs, n_below), _at(self._likelihood, n_below)
        loss = self._likelihood[:, -1:] - likelihood_below - t * (self._costs[:, -1:] - costs_below)
        from_ceiling = np.minimum(emptied, (self._n_others - n_below) * t)
        first_empty = self._n_others - (from_ceiling / t).astype(np.intp)
        loss += t * (self._costs[:, -1:] - _at(self._costs, first_empty))
        loss += self._cost_of(first_empty - 1) * (from_ceiling - (self._n_others - first_empty) * t)
        kept = _at(self._mass, n_below) - (emptied - from_ceiling)
        n_kept = _leading(lambda i: _at(self._mass, i + 1) <= kept, n_below)
        loss += likelihood_below - _at(self._likelihood, n_kept) - self._cost_of(n_kept) * (kept - _at(self._mass, n_kept))
        return np.asarray(gain - loss + self._label_cost * (t - self._label))

    def _cost_of(self, index: Array) -> Array:
        """Return costs (n, g); past either end nothing is left to move, so any cost does."""
        return _at(self._cost, np.clip(index, 0, self._n_others - 1))

    def _pour(self, t: Array) -> Array:
        """Return rows (n, k) with ceilings t (n, 1)."""
        _, filled, emptied = self._flows(t)
        others = np.minimum(self._others, t)
        below = others.cumsum(axis=1)  # up to and with each class
        room_before = self._count[:-1] * t - (below - others)
        poured = others + np.clip(filled - room_before, 0.0, t - others)
        poured -= np.clip(emptied - (below[:, -1:] - below), 0.0, others)
        return np.concatenate([poured, t], axis=1)


def _prefix(values: Array) -> Array:
    """Return sums (n, k + 1) of the first 0, 1, ..., k columns."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    values.cumsum(axis=1, out=sums[:, 1:])
    return sums


def _at(values: Array, index: Array) -> Array:
    """Return g columns a row: values (n, k), index (n, g)."""
    return np.take_along_axis(values, index, axis=1)


def _leading(holds: Callable[[Array], Array], size: Array) -> Array:
    """Return (n, g): for how many of the columns 0, 1, ..., size - 1 it holds before the first for which it does not."""
    low, high = np.zeros_like(size), size
    for _ in range(int(size.max(initial=0)).bit_length()):
        middle = (low + high) // 2
        is_open = low < high
        does = holds(np.minimum(middle, size.max() - 1))
        low, high = np.where(is_open & does, middle + 1, low), np.where(is_open & ~does, middle, high)
    return low
