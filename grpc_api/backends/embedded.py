"""The embedded backend: ONNX Runtime in this process."""

from typing import ClassVar

import numpy as np

from grpc_api.backends.base import Backend
from grpc_api.backends.cuda import PROVIDER as CUDA
from grpc_api.backends.cuda import why_not_cuda
from grpc_api.cores import n_cores
from grpc_api.waiting import Waiting
from guard.bundle import Bundle, Manifest
from guard.errors import BackendError, BundleError, ConfigError
from guard.quiet_runtime import ort
from guard.types import Floats

CPU = "CPUExecutionProvider"
_FATAL_ONLY = 4  # its warnings are about graphs that users cannot change; what matters is raised or checked here


class Embedded(Backend):
    """One session on the bundle's bytes: what was hashed is what runs. ONNX Runtime releases the GIL while it computes."""

    name: ClassVar[str] = "embedded"

    def __init__(self, bundle: Bundle, *, provider: str = "auto", threads: int = 0) -> None:
        """Load and warm up. ConfigError if CUDA was asked for and is not in use; BundleError if graph and manifest differ.

        `threads` compute one inference, 0 is one for each core that this process may use.
        """
        self._session = open_session(bundle.model, provider=provider, threads=threads)
        self._input = bundle.manifest.input.name
        self._outputs = ("probabilities", "scores")
        _check_outputs(self._session, self._input, self._outputs)
        self._warm_up(bundle.manifest)

    @property
    def provider(self) -> str:
        """The execution provider that is in use, not the one that was asked for."""
        return str(self._session.get_providers()[0])

    def infer(self, inputs: Floats, *, waiting: Waiting | None = None) -> tuple[Floats, Floats]:
        try:
            probabilities, scores = self._session.run(self._outputs, {self._input: inputs})
        except Exception as error:  # ONNX Runtime's errors share no base but this one
            raise BackendError(f"the model did not answer a batch of shape {inputs.shape}") from error
        return probabilities, scores

    def close(self) -> None:
        """Free the model now: whoever held this backend is part of a cycle, and its collection may be hours away."""
        del self._session

    def _warm_up(self, manifest: Manifest) -> None:
        """Answer two rows, so that a graph of fixed batch size or of other widths is found here and not by a client."""
        try:
            probabilities, scores = self.infer(np.zeros((2, *manifest.input.shape), np.float32))
        except BackendError as error:
            raise BundleError(
                f"the bundle's model does not answer two rows of shape {list(manifest.input.shape)}: {_reason(error.__cause__)}"
            ) from error
        wanted = (2, len(manifest.labels)), (2, len(manifest.detectors))
        if (probabilities.shape, scores.shape) != wanted:
            raise BundleError(
                f"the bundle's model gives probabilities {probabilities.shape} and scores {scores.shape} for two rows; its "
                f"manifest has {len(manifest.labels)} labels and {len(manifest.detectors)} detectors"
            )


def open_session(model: bytes, *, provider: str, threads: int) -> ort.InferenceSession:
    """Return a session on what `provider` (auto, cuda, cpu) says; ConfigError if CUDA was asked for and is not in use.

    `threads` compute one inference, 0 is one for each core that this process may use.
    """
    ort.set_default_logger_severity(_FATAL_ONLY)
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or n_cores()
    options.inter_op_num_threads = 1
    # Idle workers that spin would take the core that decodes the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    reason = "it was not asked for" if provider == "cpu" else why_not_cuda()
    if provider == "cuda" and reason:
        raise ConfigError(f"provider cuda: {reason}; or use auto or cpu")
    wanted = [CPU] if reason else [CUDA, CPU]
    try:
        session = ort.InferenceSession(model, options, providers=wanted)
    except Exception as error:
        if provider == "cuda":
            raise ConfigError(f"provider cuda: the session did not start ({_reason(error)}); use auto or cpu") from error
        raise BundleError(f"ONNX Runtime refuses the bundle's model: {_reason(error)}") from error
    # The last word is the session's: a provider that fails is dropped without an error.
    if provider == "cuda" and session.get_providers()[0] != CUDA:
        raise ConfigError(
            "provider cuda: its libraries load and ONNX Runtime still fell back to the CPU; check nvidia-smi and the CUDA and "
            "cuDNN versions that onnxruntime-gpu asks for, or use auto or cpu"
        )
    return session


def _check_outputs(session: ort.InferenceSession, image: str, outputs: tuple[str, ...]) -> None:
    inputs = [i.name for i in session.get_inputs()]
    names = [o.name for o in session.get_outputs()]
    if inputs != [image] or not set(outputs) <= set(names):
        raise BundleError(
            f"the bundle's model has inputs {inputs} and outputs {names}; its manifest needs [{image!r}] and {list(outputs)}"
        )


def _reason(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
