"""Exit codes: the one table from errors to what a shell sees."""

from guard.errors import (
    BundleError,
    CalibrationError,
    ConfigError,
    DeadlineError,
    FitError,
    GraphError,
    KnockguardError,
    ParityError,
    RequestError,
    UnavailableError,
)

DONE, OUR_FAULT, USAGE, INPUT_REFUSED, NOT_REACHABLE, ANSWER_IS_NO, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EXITS: dict[type[KnockguardError], int] = {
    ConfigError: USAGE,
    BundleError: INPUT_REFUSED,
    FitError: INPUT_REFUSED,
    CalibrationError: INPUT_REFUSED,
    GraphError: INPUT_REFUSED,
    ParityError: ANSWER_IS_NO,
    RequestError: INPUT_REFUSED,
    UnavailableError: NOT_REACHABLE,
    DeadlineError: NOT_REACHABLE,
    KnockguardError: OUR_FAULT,
}


def exit_code(error: KnockguardError) -> int:
    """Return the code of the nearest class in the table."""
    return next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS)
