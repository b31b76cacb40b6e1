"""The guard inside a model class of MLServer's: a bundle answers by its policy on every way into that server, REST included.

Named by the `model-settings.json` that `knockguard export --for mlserver --guarded` writes. MLServer imports it; we never do.
"""

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput
from mlserver.utils import get_model_uri

from grpc_api.backends.embedded import Embedded
from grpc_api.converters import DATATYPES, Tensor, checked_shape
from grpc_api.encoded import ImageDecoder
from grpc_api.inputs import checked_input, model_input
from grpc_api.inside.incident import incident_of
from grpc_api.statuses import OURS, told
from grpc_api.wishes import check_parameters
from guard.bundle import load_bundle
from guard.errors import InvalidInputError, KnockguardError, RequestError
from guard.guard import Guard
from guard.secret import Secret
from guard.settings import from_options
from guard.types import ApplyTo, Array, Floats

_HTTP = {True: 400, False: 500}  # whether the caller can mend it: all that MLServer turns into a status of gRPC's


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """`parameters.extra` of model-settings.json; what is not there is as the bundle says."""

    policy: str | None = None
    options: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    apply_to: ApplyTo | None = None
    secret_file: Path | None = None
    provider: str = "auto"
    max_rows: int = 256
    unguarded: bool = False  # take a bundle whose threshold is of too few images as well


class GuardedRuntime(MLModel):  # type: ignore[misc]  # MLServer is not installed where types are checked
    """One bundle, computed and guarded; the model's `uri` is the bundle's folder."""

    async def load(self) -> bool:
        """Read the bundle and warm it up; BundleError or ConfigError says what does not fit, and MLServer logs it."""
        extra = self._settings.parameters.extra if self._settings.parameters else None
        given = from_options(RuntimeSettings, extra or {}, what="parameters.extra")
        bundle = load_bundle(Path(await get_model_uri(self._settings)))
        secret = None if given.secret_file is None else Secret.read(given.secret_file)
        self._guard = Guard.of(
            bundle.manifest,
            policy=given.policy,
            options=given.options,
            apply_to=given.apply_to,
            secret=secret,
            unguarded=given.unguarded,
        )
        self._manifest, self._max_rows = bundle.manifest, given.max_rows
        self._backend = Embedded(bundle, provider=given.provider)
        self._images = ImageDecoder()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the one output that there is; MLServerError says what the caller can mend, and of our own faults an id."""
        try:
            answers = await asyncio.to_thread(self._answers, payload)
        except KnockguardError as error:
            if not isinstance(error, OURS):
                raise MLServerError(told(error), _HTTP[isinstance(error, RequestError)]) from None
            raise MLServerError(incident_of(error), 500) from None
        except Exception as error:
            raise MLServerError(incident_of(error), 500) from None
        output = NumpyCodec.encode_output(self._manifest.output, answers)
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=[output])

    def _answers(self, payload: InferenceRequest) -> Floats:
        spec, output = self._manifest.input, self._manifest.output
        if unknown := [wish.name for wish in payload.outputs or () if wish.name != output]:
            raise InvalidInputError(f"there is no output {unknown[0]!r}; the model has {output!r}")
        for tensor in (*payload.inputs, *(payload.outputs or ())):
            check_parameters(tensor.name, dict(tensor.parameters or ()))
        tensors = self._images.open_now([_tensor(item) for item in payload.inputs], spec, max_rows=self._max_rows)
        inputs = model_input(checked_input(tensors, spec, max_rows=self._max_rows), spec)
        if not len(inputs):
            return np.empty((0, len(self._manifest.labels)), np.float32)
        probabilities, scores = self._backend.infer(inputs)
        if not np.isfinite(probabilities).all():
            raise InvalidInputError("a row's values are so far outside the model's range that it has no answer")
        return self._guard.answer(inputs, probabilities, scores)


def _tensor(item: RequestInput) -> Tensor:
    """Return an input as the gateway has it; InvalidInputError if its values are not what its type and shape say."""
    shape, datatype = checked_shape(item.name, item.shape), str(getattr(item.datatype, "value", item.datatype))
    values: list[Any] = list(item.data)

    def read() -> Array:
        try:
            if datatype == "BYTES":
                array = np.empty(len(values), dtype=object)
                # JSON has no bytes: there a file comes as text, in base64.
                array[:] = [b64decode(v, validate=True) if isinstance(v, str) else bytes(v) for v in values]
                return array.reshape(shape)
            wide = np.array(values)
            narrow = wide.astype(DATATYPES[datatype][0])
        except (ValueError, TypeError, OverflowError):
            raise InvalidInputError(
                f"input {item.name!r} has {len(values)} values that are no {datatype} of shape {list(shape)}"
            ) from None
        if narrow.size != prod(shape) or (narrow.dtype.kind in "iu" and (narrow != wide).any()):
            raise InvalidInputError(
                f"input {item.name!r} has {narrow.size} values that are not all {datatype} of shape {list(shape)}"
            )
        return narrow.reshape(shape)

    return Tensor(item.name, datatype, shape, read)
