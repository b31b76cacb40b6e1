"""Messages as they arrive: one of more parts than a request can need never becomes objects.

Two bytes of a message can become an object of some hundred, so that a message within its limit of bytes could fill the memory and
hold the event loop for minutes. Source: Protocol Buffers, "Encoding".
"""

from collections.abc import Callable

from google.protobuf.message import Message

from guard.errors import InvalidInputError

MAX_PARTS = 512  # a request of one tensor has about ten, and one for each parameter
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}


def bounded(kind: type[Message]) -> Callable[[bytes], Message]:
    """Return what reads such a message; InvalidInputError if it and what lies directly in it have over MAX_PARTS fields."""
    nested = frozenset(f.number for f in kind.DESCRIPTOR.fields if f.message_type is not None)

    def read(data: bytes) -> Message:
        if count_parts(data, nested) > MAX_PARTS:
            raise InvalidInputError(f"the message has more than {MAX_PARTS} fields; send one input, and few parameters")
        return kind.FromString(data)

    return read


def count_parts(data: bytes, nested: frozenset[int] = frozenset()) -> int:
    """Return how many fields a message has, those inside its `nested` ones included; counting ends soon after MAX_PARTS.

    It ends at the first fault as well: the real reader tells it.
    """
    count, position, ends = 0, 0, [len(data)]
    while ends and count <= MAX_PARTS:
        if position >= ends[-1]:
            position = ends.pop()
            continue
        count += 1
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            _, position = _varint(data, position)
        elif wire == _BYTES:
            length, position = _varint(data, position)
            if len(ends) == 1 and tag >> 3 in nested and position + length <= len(data):
                ends.append(position + length)
            else:
                position += length
        elif wire in _WIDTHS:
            position += _WIDTHS[wire]
        else:
            break
    return count


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
