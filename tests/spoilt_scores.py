"""The scores of somebody else's server, spoilt while the answers beside them stay as they were."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from plain_host import PlainHost


def _missing(response: Any, place: int) -> None:
    response.outputs[place].name = "points"


def _of_another_shape(response: Any, place: int) -> None:
    n_rows = response.outputs[place].shape[0]
    response.outputs[place].shape[:] = [n_rows, 2]
    response.raw_output_contents[place] = np.zeros((n_rows, 2), np.float32).tobytes()


def _no_numbers(response: Any, place: int) -> None:
    response.raw_output_contents[place] = np.full(response.outputs[place].shape[0], np.nan, np.float32).tobytes()


KINDS: dict[str, Callable[[Any, int], None]] = {
    "missing": _missing,
    "of_another_shape": _of_another_shape,
    "no_numbers": _no_numbers,
}


@contextmanager
def spoilt(host: PlainHost, kind: str) -> Iterator[None]:
    """Spoil scores until the block ends."""

    def spoil(response: Any, _context: Any) -> Any:
        for place, output in enumerate(response.outputs):
            if output.name == "scores":
                KINDS[kind](response, place)
        return response

    good, host.spoil = host.spoil, spoil
    try:
        yield
    finally:
        host.spoil = good
