"""What goes wrong a thousand times a second is told once in a while, with a count."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

_MAX_CAUSES = 64  # kept apart; a new one takes the place of the one heard longest ago


class Repeats:
    """Says whether a cause is to be told now."""

    def __init__(self, every_s: float = 10.0, *, clock: Callable[[], float] = monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._causes: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when it was told, and how often it came since

    def untold(self, cause: str) -> int | None:
        """Return how often a cause came since it was last told if it is time to tell it again, else None."""
        now = self._clock()
        told, since = self._causes.pop(cause, (float("-inf"), 0))
        due = now - told >= self._every_s
        self._causes[cause] = (now, 0) if due else (told, since + 1)
        if len(self._causes) > _MAX_CAUSES:
            self._causes.popitem(last=False)
        return since if due else None
