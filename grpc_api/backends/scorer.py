"""The scores alone, by the bundle's own graph, for a model that answers elsewhere."""

import numpy as np

from grpc_api.backends.answer import SCORES
from grpc_api.backends.embedded import open_session
from guard.bundle import Bundle
from guard.errors import BackendError, BundleError
from guard.types import Floats


class Scorer:
    """One session of which only the scores are read; safe to call from several threads.

    The graph may be a bundle's whole fused model, or one that `exporters.detector` has cut down to its scores.
    """

    def __init__(self, bundle: Bundle, *, provider: str = "auto", threads: int = 0) -> None:
        """Load and warm up; BundleError if the graph gives no scores of the manifest's width, ConfigError as `open_session`."""
        self._session = open_session(bundle.model, provider=provider, threads=threads)
        self._input = bundle.manifest.input.name
        names = [o.name for o in self._session.get_outputs()]
        if SCORES not in names:
            raise BundleError(f"the bundle's model has no output {SCORES!r}, only {names}; make it with `knockguard protect`")
        found = self.scores(np.zeros((2, *bundle.manifest.input.shape), np.float32)).shape
        if found != (wanted := (2, len(bundle.manifest.detectors))):
            raise BundleError(f"the bundle's model gives scores {found} for two rows; its manifest needs {wanted}")

    @property
    def provider(self) -> str:
        """The execution provider that is in use."""
        return str(self._session.get_providers()[0])

    def scores(self, inputs: Floats) -> Floats:
        """Return (n, m) scores of (n, ...) inputs; BackendError if the graph did not answer."""
        try:
            (scores,) = self._session.run((SCORES,), {self._input: inputs})
        except Exception as error:  # ONNX Runtime's errors share no base but this one
            raise BackendError(f"the detector did not answer a batch of shape {inputs.shape}") from error
        return np.asarray(scores)
