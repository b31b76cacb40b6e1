"""Timing as ratios: two ways in turn, in one run, medians and spread; a machine's drift then meets both alike."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Ratio:
    """Rates of a way and of its peer, in operations a second, one pair a repetition."""

    pairs: tuple[tuple[float, float], ...]

    @property
    def rate(self) -> float:
        """The way's median rate."""
        return median(a for a, _ in self.pairs)

    @property
    def peer(self) -> float:
        """The peer's median rate."""
        return median(b for _, b in self.pairs)

    @property
    def value(self) -> float:
        """The median of the paired ratios, way over peer."""
        return median(a / b for a, b in self.pairs)

    def __str__(self) -> str:
        ratios = sorted(a / b for a, b in self.pairs)
        return f"{self.value:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, n={len(ratios)})"


def rate(run: Callable[[], int]) -> float:
    """Return operations a second of one call, which says how many it did."""
    started = perf_counter()
    n = run()
    return n / (perf_counter() - started)


def compare(way: Callable[[], int], peer: Callable[[], int], *, repetitions: int = 7) -> Ratio:
    """Run both in turn after one warm-up of each."""
    way(), peer()
    return Ratio(tuple((rate(way), rate(peer)) for _ in range(repetitions)))
