"""What a backend is: it runs the fused model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from grpc_api.dependency import Dependency
from grpc_api.waiting import Waiting
from guard.types import Floats


class Backend(ABC):
    """Runs batches; safe to call from several threads."""

    name: ClassVar[str]
    computes_here: ClassVar[bool] = True  # else it waits for another machine, and many calls may wait at once

    @property
    @abstractmethod
    def provider(self) -> str:
        """What computes, for logs and metrics: an execution provider, or an upstream's kind."""

    @property
    def ready(self) -> bool:
        """Whether it would answer now."""
        return True

    @property
    def dependencies(self) -> Sequence[Dependency]:
        """What it depends on beside itself."""
        return ()

    @abstractmethod
    def infer(self, inputs: Floats, *, waiting: Waiting | None = None) -> tuple[Floats, Floats | None]:
        """Return probabilities (n, k) and scores (n, m) of (n, ...) inputs; None for scores that failed where that is to be open.

        `waiting` says until when somebody waits; what computes here does not stop half-way. BackendError if the model did not
        answer, DeadlineError if it was too late, or nobody waits any more; a remote one may also raise NotLoadedError,
        QuotaExceededError, and InvalidInputError.
        """

    def close(self) -> None:  # noqa: B027  # most have nothing to end
        """End what runs beside it."""
