"""One model of a host that is guarded: what is added to its requests, and what is taken from its responses.

The messages are the host's own class. Fields are read by name and answers are built with the response's own type, so none of its
stubs are imported: two copies of them in one process would be the end of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from grpc_api.backends.answer import SCORES, Answer
from grpc_api.converters import decode_inputs, decode_outputs, replace_output
from grpc_api.encoded import ImageDecoder
from grpc_api.inputs import checked_input, model_input
from grpc_api.wishes import check_wishes
from guard.bundle import Manifest
from guard.errors import BackendError, InvalidInputError, ModelNotFoundError, PermissionDeniedError
from guard.guard import Decision, Guard
from guard.types import Action, Floats


class GuardedModel:
    """A bundle's guard for the model of the same name in a host; safe to call from several threads.

    The host serves the fused model, whose scores are read and taken away, or a plain one: then `score` computes them from the
    model's input, such as `Scorer(bundle).scores`. `answer` is the host's output, the bundle's by default. `on_decision` hears
    each decision and its tenant, to count it; what it raises fails the call.
    """

    def __init__(
        self,
        manifest: Manifest,
        guard: Guard,
        *,
        answer: Answer | None = None,
        score: Callable[[Floats], Floats] | None = None,
        on_decision: Callable[[Decision, str | None], object] = lambda _decision, _tenant: None,
    ) -> None:
        self.name = manifest.name
        self._manifest = manifest
        self._guard = guard
        self._answer = answer or Answer(manifest.output)
        self._score = score
        self._on_decision = on_decision
        self._images = ImageDecoder()

    @property
    def reads_inputs(self) -> bool:
        """Whether answering takes more than a look at the scores: then it is not done on an event loop."""
        return self._score is not None or self._guard.needs_keys

    def ask(self, request: Any) -> None:
        """Let the host give the scores beside what was asked for, in place.

        InvalidInputError for an output that is not to be had, ModelNotFoundError for a version that the bundle is not of.
        """
        if request.model_version not in ("", self._manifest.version):
            raise ModelNotFoundError(
                f"model {self.name!r} has no version {request.model_version[:32]!r}; it has {self._manifest.version}"
            )
        check_wishes(request, self._answer.output)
        if self._score is None and request.outputs:  # without wishes a server gives all that it has
            request.outputs.add(name=SCORES)

    def answered(self, request: Any, response: Any, *, tenant: str | None = None) -> Any:
        """Return the response that the client gets: its answer is the guard's, and no other output is left.

        BackendError if the host's answer does not fit the bundle; PermissionDeniedError if a row is refused.
        """
        if response.model_version not in ("", self._manifest.version):
            raise BackendError(f"version {response.model_version[:32]} answered; the guard is of {self._manifest.version}")
        probabilities, scores, keys = self._read(request, response)
        decision = self._guard.decide(probabilities, scores, keys, tenant=tenant)
        self._on_decision(decision, tenant)
        if Action.REFUSE in decision.actions:
            raise PermissionDeniedError("this query is not answered")
        return replace_output(response, self._answer.output, self._answer.given(decision.answers))

    def described(self, metadata: Any) -> Any:
        """Return a model's metadata without the outputs that a client cannot have."""
        made = type(metadata)()
        made.CopyFrom(metadata)
        del made.outputs[:]
        made.outputs.extend(output for output in metadata.outputs if output.name == self._answer.output)
        return made

    def _read(self, request: Any, response: Any) -> tuple[Floats, Floats, Any]:
        """Return probabilities, scores and row keys. The host has answered so many rows, so no more are read of its request."""
        names = (self._answer.output,) if self._score is not None else (self._answer.output, SCORES)
        try:
            values, *rest = decode_outputs(response, names)
        except InvalidInputError as error:  # the host's fault, and not the caller's
            raise BackendError("the model's answer cannot be read") from error
        inputs = self._inputs(request, max_rows=len(values)) if self.reads_inputs else None
        scores = self._score(inputs) if self._score is not None and inputs is not None else rest[0]
        n_rows = len(scores)
        if values.shape != (n_rows, len(self._manifest.labels)) or (inputs is not None and len(inputs) != n_rows):
            raise BackendError(f"the model answered with shape {values.shape} to {n_rows} rows; check bundle and model")
        probabilities = self._answer.probabilities(values)
        if not np.isfinite(probabilities).all():
            raise InvalidInputError("a row's values are so far outside the model's range that it has no answer")
        return probabilities, scores, () if inputs is None else self._guard.keys(inputs)

    def _inputs(self, request: Any, *, max_rows: int) -> Floats:
        spec = self._manifest.input
        tensors = self._images.open_now(decode_inputs(request), spec, max_rows=max_rows)
        return model_input(checked_input(tensors, spec, max_rows=max_rows), spec)
