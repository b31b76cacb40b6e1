"""What becomes of queries while something that the guard depends on does not answer."""

from enum import StrEnum


class FailMode(StrEnum):
    """What is done without a dependency. Closed: a setting, and a metric's label."""

    OPEN = "fail-open"  # the query goes on without it
    CLOSED = "fail-closed"  # the query is refused, UNAVAILABLE
