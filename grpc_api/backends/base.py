"""What a backend is: it runs the fused model."""

from abc import ABC, abstractmethod
from typing import ClassVar

from guard.types import Floats


class Backend(ABC):
    """Runs batches; safe to call from several threads."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def provider(self) -> str:
        """What computes, for logs and metrics: an execution provider, or an upstream's kind."""

    @abstractmethod
    def infer(self, inputs: Floats) -> tuple[Floats, Floats]:
        """Return probabilities (n, k) and scores (n, m) of (n, ...) inputs; BackendError if the model did not answer."""
