"""Heads: what a detector leaves behind, as arrays and neutral graph operations.

A `Head` names no framework. `exporters.lower` lays it onto a victim's ONNX graph, and every number that the package reports
comes from running that graph, so there is no second implementation that could drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType

import numpy as np

from guard.errors import FitError
from guard.types import Array

Value = NewType("Value", str)  # the name of a tensor inside one head


@dataclass(frozen=True, slots=True)
class Operation:
    """One node: operator name as in the ONNX standard, inputs and output by name, attributes, and constant axes."""

    op: str
    inputs: tuple[Value, ...]
    output: Value
    attributes: tuple[tuple[str, int | float], ...] = ()
    axes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """From taps (each (n, d) float32) to one score: `score` names a (n,) float32 tensor, higher = more out."""

    taps: tuple[str, ...]
    operations: tuple[Operation, ...]
    constants: Mapping[str, Array]
    score: Value

    @property
    def n_parameters(self) -> int:
        """How many numbers the head adds to the graph."""
        return sum(int(array.size) for array in self.constants.values())


@dataclass(slots=True)
class HeadBuilder:
    """Writes a head, one operation a call; arrays may stand wherever a value may and are stored as float32 constants.

    Reductions and `unsqueeze` take axes as integers; axis 0 is the batch. FitError if a constant is not finite, since
    a graph that holds NaN would flag nothing and nobody would notice.
    """

    _operations: list[Operation] = field(default_factory=list)
    _constants: dict[str, Array] = field(default_factory=dict)
    _taps: list[str] = field(default_factory=list)

    def tap(self, name: str) -> Value:
        """Read a tap: `logits`, `probabilities`, `penultimate` (n, d) or `stage<i>`, pooled to (n, 2c)."""
        if name not in self._taps:
            self._taps.append(name)
        return Value(f"tap:{name}")

    def constant(self, array: Array) -> Value:
        """Store an array of finite numbers; integers stay int64 (indices, shapes), the rest becomes float32."""
        array = np.asarray(array)
        kind = np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32
        array = np.ascontiguousarray(array, dtype=kind).reshape(array.shape)
        if not np.isfinite(array).all():
            raise FitError(
                f"a constant of shape {array.shape} holds {int((~np.isfinite(array)).sum())} values that are not finite; "
                "look for constant or duplicated features, or fit on more images"
            )
        name = f"constant{len(self._constants)}"
        self._constants[name] = array
        return Value(name)

    def head(self, *, score: Value) -> Head:
        """Close the head; `score` must have shape (n,)."""
        return Head(tuple(self._taps), tuple(self._operations), dict(self._constants), score)

    # Arithmetic, broadcasting as numpy does.

    def add(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Add", a, b)

    def sub(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Sub", a, b)

    def mul(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Mul", a, b)

    def div(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Div", a, b)

    def pow(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Pow", a, b)

    def matmul(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("MatMul", a, b)

    def minimum(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Min", a, b)

    def maximum(self, a: Value | Array, b: Value | Array) -> Value:
        return self._node("Max", a, b)

    def neg(self, a: Value) -> Value:
        return self._node("Neg", a)

    def sqrt(self, a: Value) -> Value:
        return self._node("Sqrt", a)

    def exp(self, a: Value) -> Value:
        return self._node("Exp", a)

    def log(self, a: Value) -> Value:
        return self._node("Log", a)

    def relu(self, a: Value) -> Value:
        return self._node("Relu", a)

    def softmax(self, a: Value, *, axis: int = -1) -> Value:
        return self._node("Softmax", a, axis=axis)

    # Shape.

    def concat(self, values: Sequence[Value], *, axis: int) -> Value:
        return self._node("Concat", *values, axis=axis)

    def unsqueeze(self, a: Value, *, axis: int) -> Value:
        return self._node("Unsqueeze", a, axes=(axis,))

    def squeeze(self, a: Value, *, axis: int) -> Value:
        return self._node("Squeeze", a, axes=(axis,))

    # Reductions drop their axis. Several ONNX operators take axes differently by opset; `exporters.lower` knows.

    def reduce_sum(self, a: Value, *, axis: int) -> Value:
        return self._node("ReduceSum", a, axes=(axis,), keepdims=0)

    def reduce_mean(self, a: Value, *, axis: int) -> Value:
        return self._node("ReduceMean", a, axes=(axis,), keepdims=0)

    def reduce_max(self, a: Value, *, axis: int) -> Value:
        return self._node("ReduceMax", a, axes=(axis,), keepdims=0)

    def reduce_min(self, a: Value, *, axis: int) -> Value:
        return self._node("ReduceMin", a, axes=(axis,), keepdims=0)

    def reduce_sum_square(self, a: Value, *, axis: int) -> Value:
        return self._node("ReduceSumSquare", a, axes=(axis,), keepdims=0)

    def reduce_log_sum_exp(self, a: Value, *, axis: int) -> Value:
        return self._node("ReduceLogSumExp", a, axes=(axis,), keepdims=0)

    def kth_smallest(self, a: Value, *, k: int) -> Value:
        """The k-th smallest value of each row of a (n, m) value, counted from 1, as (n,)."""
        return self._node("KthSmallest", a, k=k)

    def top_k(self, a: Value, *, k: int) -> Value:
        """The k largest values of each row of a (n, m) value, in falling order, as (n, k)."""
        return self._node("TopKValues", a, k=k)

    def _node(self, op: str, *inputs: Value | Array, axes: tuple[int, ...] | None = None, **attributes: Any) -> Value:
        names = tuple(Value(a) if isinstance(a, str) else self.constant(a) for a in inputs)
        output = Value(f"value{len(self._operations)}")
        self._operations.append(Operation(op, names, output, tuple(sorted(attributes.items())), axes))
        return output
