"""Scores as columns: a head whose score is (n,) as one whose score is (n, 1), if it can be without a node more."""

from collections import Counter
from dataclasses import replace

from guard.detectors.head import Head, Operation, Value

_REDUCTIONS = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceLogSumExp"})
_BY_ELEMENT = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Neg", "Sqrt", "Exp", "Log", "Relu"})


def as_column(head: Head) -> Head:
    """Return the head with a score of (n, 1), each row's value the same.

    Looks from the score back through what treats each element by itself: a reduction there keeps its axis, a Squeeze is left
    out. Anything else gets an Unsqueeze behind it.
    """
    readers = Counter(name for operation in head.operations for name in operation.inputs)
    at = {operation.output: place for place, operation in enumerate(head.operations)}
    operations = list(head.operations)
    value = head.score
    while (place := at.get(value)) is not None and readers[value] <= (value != head.score):
        operation = operations[place]
        if operation.op in _REDUCTIONS and operation.axes == (1,):
            operations[place] = replace(operation, attributes=(("keepdims", 1),))
            return replace(head, operations=tuple(operations))
        if operation.op == "Squeeze" and operation.axes == (1,):
            del operations[place]
            renamed = [_reading(o, operation.output, operation.inputs[0]) for o in operations]
            score = operation.inputs[0] if value == head.score else head.score
            return replace(head, operations=tuple(renamed), score=score)
        inner = [name for name in operation.inputs if name not in head.constants]
        scalars = all(head.constants[name].size == 1 for name in operation.inputs if name in head.constants)
        if operation.op not in _BY_ELEMENT or len(inner) != 1 or not scalars:
            break
        value = inner[0]
    column = Value(f"{head.score}/column")
    unsqueeze = Operation("Unsqueeze", (head.score,), column, axes=(1,))
    return replace(head, operations=(*head.operations, unsqueeze), score=column)


def _reading(operation: Operation, old: Value, new: Value) -> Operation:
    return replace(operation, inputs=tuple(new if name == old else name for name in operation.inputs))
