"""What a client may wish for in its request: one output, as numbers or as its likeliest classes, and tensors that are sent whole.

Source of the classes: Triton's classification extension of the protocol.
"""

from collections.abc import Container
from typing import Any

import numpy as np

from guard.errors import InvalidInputError
from guard.types import Array, Floats

# Extensions of one server that change where tensors are or what they mean: passed over, they would give wrong answers in silence.
_NOT_UNDERSTOOD = ("classification", "shared_memory_region")
_CLASSES = "classification"


def check_wishes(request: Any, output: str) -> None:
    """InvalidInputError if an output is asked for that is not the model's only one, or a tensor in a way that is not ours.

    `request` is a ModelInferRequest, of our stubs or of somebody else's.
    """
    _check_names(request, output)
    for tensor in (*request.inputs, *request.outputs):
        check_parameters(tensor.name, tensor.parameters)


def check_parameters(name: str, parameters: Container[str]) -> None:
    """InvalidInputError if a tensor has a parameter that says something else of it than is understood here."""
    for parameter in _NOT_UNDERSTOOD:
        if parameter in parameters:
            raise InvalidInputError(f"{name!r} has the parameter {parameter!r}; tensors are sent whole, in the message")


def wished_classes(request: Any, output: str) -> int:
    """Return of how many classes a client wants to read the names, 0 for an answer in numbers; InvalidInputError as above."""
    _check_names(request, output)
    for tensor in request.inputs:
        check_parameters(tensor.name, tensor.parameters)
    count = 0
    for wish in request.outputs:
        check_parameters(wish.name, [parameter for parameter in wish.parameters if parameter != _CLASSES])
        if _CLASSES in wish.parameters:
            count = wish.parameters[_CLASSES].int64_param
            if count < 1:
                raise InvalidInputError(f"{wish.name!r} is to name {count} classes; the parameter {_CLASSES!r} is 1 or more")
    return count


def in_words(answers: Floats, labels: tuple[str, ...], count: int) -> Array:
    """Return (n, `count`) bytes objects, "probability:index:label", of each row's likeliest classes; of all if there are fewer.

    They are made of the answer that the client would get in numbers, so they tell no more than it.
    """
    count = min(count, len(labels))
    order = np.argsort(-answers, axis=1, kind="stable")[:, :count]
    words = np.empty(order.shape, dtype=object)
    for row, (values, indices) in enumerate(zip(answers, order, strict=True)):
        words[row] = [f"{values[i]:f}:{i}:{labels[i]}".encode() for i in indices]
    return words


def _check_names(request: Any, output: str) -> None:
    for wish in request.outputs:
        if wish.name != output:
            raise InvalidInputError(f"there is no output {wish.name!r}; the model has {output!r}")
