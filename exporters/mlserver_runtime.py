"""Computes an exported model inside MLServer. Copied into the model's folder, where MLServer imports it; we never do."""

import asyncio
import os

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

# From 1.29 on ONNX Runtime tells its makers of every model it loads, and heeds nothing but this, before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort


class OnnxRuntime(MLModel):  # type: ignore[misc]  # MLServer is not installed where types are checked
    """One ONNX Runtime session, on the GPU where its provider is there."""

    async def load(self) -> bool:
        """Open the session; the model is ready afterwards."""
        path = await get_model_uri(self._settings)
        self._session = ort.InferenceSession(path, providers=ort.get_available_providers())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the outputs that were asked for, or all; InferenceError says what does not fit."""
        image = self._session.get_inputs()[0]
        if [tensor.name for tensor in payload.inputs] != [image.name]:
            raise InferenceError(f"the model takes one input, {image.name!r}")
        known = [output.name for output in self._session.get_outputs()]
        names = [output.name for output in payload.outputs or ()] or known
        if unknown := sorted(set(names) - set(known)):
            raise InferenceError(f"there is no output {unknown[0]!r}; the model has {', '.join(known)}")
        rows = NumpyCodec.decode_input(payload.inputs[0])
        if rows.dtype != np.float32 or rows.ndim != 4 or list(rows.shape[1:]) != image.shape[1:]:
            raise InferenceError(
                f"input {image.name!r} is {rows.dtype} {rows.shape}; the model takes float32 of shape {image.shape}"
            )
        # In a thread, since ONNX Runtime releases the GIL while it computes: the loop goes on reading requests.
        arrays = await asyncio.to_thread(self._session.run, names, {image.name: rows})
        outputs = [NumpyCodec.encode_output(name, array) for name, array in zip(names, arrays, strict=True)]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs)
