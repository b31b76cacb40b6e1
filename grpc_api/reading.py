"""Messages as they arrive: one of more parts than a request can need never becomes objects.

Two bytes of a message can become an object of some hundred, so that a message within its limit of bytes could fill the memory and
hold the event loop for minutes. Source: Protocol Buffers, "Encoding".
"""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from guard.errors import InvalidInputError

MAX_PARTS = 512  # a request of one tensor has about ten, and one for each parameter
MAX_CONTENTS = 1 << 16  # of what lies in a tensor's contents: numbers come packed, as one; each file of an image is one
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_CONTENTS = 2  # how deep they lie: request, tensor, contents
Nested = Mapping[int, Any]  # the fields of a message that are messages, by number, each with its own


def bounded(kind: type[Message]) -> Callable[[bytes], Message]:
    """Return what reads such a message; InvalidInputError if it has over MAX_PARTS fields, DecodeError if it is none.

    The fields of its tensors count too; those of tensors' contents by themselves, up to MAX_CONTENTS.
    """
    nested = _nested(kind.DESCRIPTOR, _CONTENTS)

    def read(data: bytes) -> Message:
        check_parts(data, nested)
        return kind.FromString(data)

    return read


def check_parts(data: bytes, nested: Nested) -> None:
    """Walk a message's fields without making anything of them; raises as `bounded` does, soon after the first too many."""
    left = [MAX_PARTS, MAX_PARTS, MAX_CONTENTS]
    position, within = 0, [(len(data), nested)]
    while within:
        end, fields = within[-1]
        if position >= end:
            position = end
            within.pop()
            continue
        depth = len(within) - 1
        left[depth] -= 1
        if left[depth] < 0:
            raise InvalidInputError(
                f"the message has more than {MAX_PARTS} fields, or contents of more than {MAX_CONTENTS}; "
                "send one input, few parameters, and many values as raw_input_contents"
            )
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            _, position = _varint(data, position)
        elif wire == _BYTES:
            length, position = _varint(data, position)
            if tag >> 3 in fields and position + length <= end:
                within.append((position + length, fields[tag >> 3]))
            else:
                position += length
        elif wire in _WIDTHS:
            position += _WIDTHS[wire]
        else:  # groups, which none of our messages has, would hide what they hold
            raise DecodeError("a field is of no known kind")


def _nested(descriptor: Any, depth: int) -> Nested:
    """Return the fields that are messages, down to `depth` levels."""
    found = {f.number: f.message_type for f in descriptor.fields if f.message_type is not None} if depth else {}
    return {number: _nested(inner, depth - 1) for number, inner in found.items()}


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position] if position < len(data) else 0
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position
