"""Pooling: from a victim's stages to what heads read of them, the mean and the deviation of each channel, all stages at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exporters.graph import Shape
from exporters.lower import NodeWriter
from exporters.selection import Selection

_GRID = 28  # positions a side that a deviation is taken from, at least
_FLOOR = 1e-6  # of a variance; rounding can make that of a flat channel negative


@dataclass(frozen=True, slots=True)
class Stage:
    """A float32 tensor: (n, c, h, w), or (n, tokens, d), with all but n known."""

    tensor: str
    shape: Shape

    @property
    def is_map(self) -> bool:
        """Whether it has channels first and then two axes of positions."""
        return len(self.shape) == 4

    @property
    def width(self) -> int:
        """How many channels it has."""
        return self.shape[1 if self.is_map else 2] or 0

    @property
    def stride(self) -> int:
        """Every how many positions a side its deviation is taken."""
        return max(1, min(self.shape[2] or 1, self.shape[3] or 1) // _GRID) if self.is_map else 1


def pool(write: NodeWriter, stages: Mapping[str, Stage]) -> dict[str, Selection]:
    """Return stage name -> (n, 2c): the mean of each channel over its positions, then the deviation.

    All stages stand in one tensor, means before deviations, so that a stage more costs only its own two passes: what comes after
    them is a handful of nodes, whatever the number of stages.
    """
    maps = {name: stage for name, stage in stages.items() if stage.is_map}
    tokens = {name: stage for name, stage in stages.items() if not stage.is_map}
    pairs = [kind(write, list(some.values())) for kind, some in ((_maps, maps), (_tokens, tokens)) if some]
    if not pairs:
        return {}
    variance = _joined(write, [variance for _, variance in pairs], axis=1)
    deviation = write.node("Sqrt", write.node("Max", variance, write.constant(np.array(_FLOOR, np.float32))))
    tensor = _joined(write, [*(mean for mean, _ in pairs), deviation], axis=1)
    half = sum(stage.width for stage in stages.values())
    found, start = {}, 0
    for name, stage in (maps | tokens).items():
        means = np.arange(start, start + stage.width)
        found[name] = Selection(tensor, np.concatenate([means, means + half]), 2 * half)
        start += stage.width
    return {name: found[name] for name in stages}


def _maps(write: NodeWriter, stages: list[Stage]) -> tuple[str, str]:
    """Return mean and variance, both (n, all c), of (n, c, h, w) stages.

    Two global average pools, of x and of x * x: of eight ways that were timed in ONNX Runtime on a CPU the cheapest, because it
    alone stays in the blocked layout of the convolutions around it. What E[x^2] - E[x]^2 loses to rounding matters only where a
    channel's mean is some hundred times its deviation. Squaring a large map still costs a pass over memory, so the deviation is
    taken on a grid of its positions, 28 a side or more.
    """
    means, grid_means, squares = [], [], []
    for stage in stages:
        grid = stage.tensor
        means.append(write.node("GlobalAveragePool", stage.tensor))
        grid_means.append(means[-1])
        if stage.stride > 1:
            # A window of one position: a strided copy that, unlike Slice, keeps the blocked layout.
            grid = write.node("MaxPool", stage.tensor, kernel_shape=(1, 1), strides=(stage.stride, stage.stride))
            grid_means[-1] = write.node("GlobalAveragePool", grid)
        squares.append(write.node("GlobalAveragePool", write.node("Mul", grid, grid)))
    rows = [means, squares] if grid_means == means else [means, grid_means, squares]
    # Joined while they are blocked: they leave that layout, and lose their two axes of one position, together.
    flat = write.node("Flatten", write.node("Concat", *(name for row in rows for name in row), axis=1), axis=1)
    mean, *grid_mean, square = write.split(flat, [sum(stage.width for stage in stages)] * len(rows))
    centre = grid_mean[0] if grid_mean else mean
    return mean, write.node("Sub", square, write.node("Mul", centre, centre))


def _tokens(write: NodeWriter, stages: list[Stage]) -> tuple[str, str]:
    """Return mean and variance, both (n, all d), of (n, tokens, d) stages."""
    means, variances = [], []
    for stage in stages:
        means.append(write.node("ReduceMean", stage.tensor, axes=(1,), keepdims=1))
        gap = write.node("Sub", stage.tensor, means[-1])
        variances.append(write.node("ReduceMean", write.node("Mul", gap, gap), axes=(1,), keepdims=1))
    mean, variance = (write.node("Flatten", _joined(write, some, axis=2), axis=1) for some in (means, variances))
    return mean, variance


def _joined(write: NodeWriter, tensors: list[str], *, axis: int) -> str:
    return write.node("Concat", *tensors, axis=axis) if len(tensors) > 1 else tensors[0]
