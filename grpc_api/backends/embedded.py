"""The embedded backend: ONNX Runtime in this process."""

import os
from typing import ClassVar

import numpy as np
import onnxruntime as ort

from grpc_api.backends.base import Backend
from guard.bundle import Bundle
from guard.errors import BackendError, BundleError, ConfigError
from guard.types import Floats

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_FATAL_ONLY = 4  # its warnings are about graphs that users cannot change; what matters is raised or checked here


class Embedded(Backend):
    """One session on the bundle's bytes: what was hashed is what runs. ONNX Runtime releases the GIL while it computes."""

    name: ClassVar[str] = "embedded"

    def __init__(self, bundle: Bundle, *, provider: str = "auto", threads: int = 0) -> None:
        """Load and warm up. ConfigError if CUDA was asked for and is not in use; BundleError if graph and manifest differ."""
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.inter_op_num_threads = 1
        # Idle workers that spin would take the core that decodes the next request.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = _open(bundle.model, options, provider)
        self._input = bundle.manifest.input.name
        self._outputs = ("probabilities", "scores")
        _check_outputs(self._session, self._input, self._outputs)
        self.infer(np.zeros((1, *bundle.manifest.input.shape), np.float32))

    @property
    def provider(self) -> str:
        """The execution provider that is in use, not the one that was asked for."""
        return str(self._session.get_providers()[0])

    def infer(self, inputs: Floats) -> tuple[Floats, Floats]:
        try:
            probabilities, scores = self._session.run(self._outputs, {self._input: inputs})
        except Exception as error:  # ONNX Runtime's errors share no base but this one
            raise BackendError(f"the model did not answer a batch of shape {inputs.shape}") from error
        return probabilities, scores


def _open(model: bytes, options: ort.SessionOptions, provider: str) -> ort.InferenceSession:
    wanted = {"auto": [CUDA, CPU], "cuda": [CUDA, CPU], "cpu": [CPU]}[provider]
    if provider == "auto" and CUDA not in ort.get_available_providers():
        wanted = [CPU]
    if provider == "cuda" and CUDA not in ort.get_available_providers():
        raise ConfigError(
            "--provider cuda: this ONNX Runtime was built without CUDA; install onnxruntime-gpu, or use auto or cpu"
        )
    ort.set_default_logger_severity(_FATAL_ONLY)
    try:
        session = ort.InferenceSession(model, options, providers=wanted)
    except Exception as error:
        if provider == "cuda":
            raise ConfigError(f"--provider cuda: the session did not start ({_reason(error)}); use auto or cpu") from error
        raise BundleError(f"ONNX Runtime refuses the bundle's model: {_reason(error)}") from error
    # A provider that cannot load its libraries is dropped without an error.
    if provider == "cuda" and session.get_providers()[0] != CUDA:
        raise ConfigError(
            "--provider cuda: CUDA's libraries did not load or there is no device, and ONNX Runtime fell back to the CPU; "
            "check nvidia-smi and the CUDA and cuDNN versions that onnxruntime-gpu asks for, or use auto or cpu"
        )
    return session


def _check_outputs(session: ort.InferenceSession, image: str, outputs: tuple[str, ...]) -> None:
    inputs = [i.name for i in session.get_inputs()]
    names = [o.name for o in session.get_outputs()]
    if inputs != [image] or not set(outputs) <= set(names):
        raise BundleError(
            f"the bundle's model has inputs {inputs} and outputs {names}; its manifest needs [{image!r}] and {list(outputs)}"
        )


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
