"""A failure that takes no other cell of an evaluation with it."""

import traceback
from collections.abc import Sequence
from pathlib import Path

from evaluation.experiment_file import Cell
from guard.errors import KnockguardError
from knockguard.console import warn


class Spared:
    """A block whose failure is told and takes no other with it; Ctrl-C still ends the run."""

    def __init__(self, failures: dict[str, str], cells: Sequence[Cell], what: str, log: Path) -> None:
        self._failures, self._cells, self._what, self._log = failures, cells, what, log

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        told = str(error) if isinstance(error, KnockguardError) else f"{type(error).__name__}: {error}"
        warn(f"{self._what}: {told}")
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{self._what}\n{''.join(traceback.format_exception(error))}\n")
        for name in [cell.id for cell in self._cells] or [self._what]:
            self._failures.setdefault(name, told)
        return True
