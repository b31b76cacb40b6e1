"""Timing as ratios: two ways in turn, in one run, medians and spread; a machine's drift then meets both alike."""

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from guard.quiet_runtime import ort
from guard.whole import write_whole


@dataclass(frozen=True, slots=True)
class Way:
    """Something to time: `run` does operations and says how many; `cpu_s` tells the processor seconds its server has used."""

    run: Callable[[], int]
    cpu_s: Callable[[], float]

    def measure(self) -> tuple[float, float]:
        """Return operations a second, and operations a processor second."""
        used, started = self.cpu_s(), perf_counter()
        n = self.run()
        wall, cpu = perf_counter() - started, self.cpu_s() - used
        return n / wall, n / max(cpu, 1e-9)


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


def compare(way: Way, peer: Way, *, repetitions: int) -> tuple[Ratio, Ratio]:
    """Run both in turn after one warm-up of each; return the ratio by the clock, and the one by processor time of the servers.

    The second is what a machine that is busy otherwise does not spoil. It leaves out the client, and waiting.
    """
    way.run(), peer.run()
    pairs = [(way.measure(), peer.measure()) for _ in range(repetitions)]
    wall, cpu = (Ratio(tuple((a[i], b[i]) for a, b in pairs)) for i in range(2))
    return wall, cpu


def lasting(run: Callable[[int], int], *, seconds: float, least: int = 1) -> Callable[[], int]:
    """Return `run` with so many operations that a call takes about `seconds`, at least `least` of them."""
    run(least)  # what is done once only
    n = least
    for _ in range(2):  # the second from a longer look
        started = perf_counter()
        run(n)
        n = max(least, round(n * seconds / (perf_counter() - started)))
    return lambda: run(n)


def here(run: Callable[[int], int], *, seconds: float) -> Way:
    """Return a way that works in this process, in measurements of about `seconds`."""
    return Way(lasting(run, seconds=seconds), process_time)


def arguments(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark can be told; its description is the first line of the script's own."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5, help="pairs of measurements a row")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one measurement takes")
    parser.add_argument("--out", type=Path, help="write the table there as Markdown")
    return parser


def machine() -> str:
    """Return what the figures depend on: cores, versions, and how busy the machine was before anything was measured."""
    versions = f"Python {platform.python_version()}, ONNX Runtime {ort.__version__}, grpcio {version('grpcio')}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {versions}, before it {load()}"


def load() -> str:
    """Return the machine's load of the last minute: runnable processes, this one's included."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"


@dataclass(slots=True)
class Table:
    """A table that is printed row by row and, where a path is given, written as Markdown, with the machine and its load."""

    title: str
    columns: Sequence[str]
    out: Path | None = None
    rows: list[tuple[str, ...]] = field(default_factory=list)
    began: str = field(default_factory=machine)

    def __post_init__(self) -> None:
        print(f"{self.title}\n{self.began}\n{self._line(self.columns)}", flush=True)

    def row(self, *cells: object) -> None:
        """Print and keep a row; numbers without decimals, all else as it prints itself."""
        self.rows.append(tuple(f"{cell:,.0f}" if isinstance(cell, float) else str(cell) for cell in cells))
        print(self._line(self.rows[-1]), flush=True)

    def write(self) -> None:
        """Write the Markdown, whole or not at all; nothing without a path."""
        if self.out is not None:
            lines = [self.columns, ["---"] * len(self.columns), *self.rows]
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            write_whole(self.out, f"**{self.title}**\n\n{table}\n\n{self.began}; at the end {load()}.\n".encode())

    def _line(self, cells: Sequence[str]) -> str:
        widths = [24, *(max(len(name), 12) for name in self.columns[1:])]
        return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
