"""What a client may wish for in its request: one output, and tensors that are sent whole."""

from typing import Any

from guard.errors import InvalidInputError

# Extensions of one server that change where tensors are or what they mean: passed over, they would give wrong answers in silence.
_NOT_UNDERSTOOD = ("classification", "shared_memory_region")


def check_wishes(request: Any, output: str) -> None:
    """InvalidInputError if an output is asked for that is not the model's only one, or a tensor in a way that is not ours.

    `request` is a ModelInferRequest, of our stubs or of somebody else's.
    """
    for wish in request.outputs:
        if wish.name != output:
            raise InvalidInputError(f"there is no output {wish.name!r}; the model has {output!r}")
    tensors = [*((t.name, t.parameters) for t in request.inputs), *((t.name, t.parameters) for t in request.outputs)]
    for tensor, parameters in tensors:
        for name in _NOT_UNDERSTOOD:
            if name in parameters:
                raise InvalidInputError(f"{tensor!r} has the parameter {name!r}; tensors are sent whole, in the message")
