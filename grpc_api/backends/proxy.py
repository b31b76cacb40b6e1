"""The proxy: the model computes in somebody else's V2 server, behind us and open to nobody else.

The scores come from there too, where the fused model is served, or from the bundle's own graph in this process, beside a plain
model. Nothing but probabilities and scores is asked for, so nothing else can come back: logits or features that the upstream has
would show what a policy hides.

Upstream and detector are two dependencies, each with a breaker. While one is open, whoever asks is told at once; what finds out
that it is back is a question of our own, two rows of zeros, and never a caller's.
"""

from math import prod
from typing import ClassVar

import numpy as np

from grpc_api.backends.answer import SCORES, Answer
from grpc_api.backends.base import Backend
from grpc_api.backends.detector import Beside, Detector, FromUpstream
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Upstream
from grpc_api.backends.watch import Watch
from grpc_api.converters import decode_outputs
from grpc_api.dependency import Dependency
from grpc_api.failing import FailingSettings, FailMode
from grpc_api.stubs import knockguard_inference_pb2 as pb
from grpc_api.waiting import Waiting
from guard.bundle import Manifest
from guard.errors import BackendError, BundleError, DeadlineError, InvalidInputError, KnockguardError, UnavailableError
from guard.types import Floats

_LOOK_EVERY_S = 1.0
_FAILING = FailingSettings()


class Proxy(Backend):
    """Asks an upstream; with a scorer, both compute at the same time."""

    name: ClassVar[str] = "proxy"
    computes_here: ClassVar[bool] = False

    def __init__(
        self,
        manifest: Manifest,
        upstream: Upstream,
        answer: Answer,
        scorer: Scorer | None = None,
        failing: FailingSettings = _FAILING,
    ) -> None:
        """Start even if the upstream is not there yet. BundleError if it is, and its answers do not fit the bundle."""
        self._manifest = manifest
        self._upstream = upstream
        self._answer = answer
        self._kind = "upstream" if scorer is None else f"upstream+{scorer.provider}"
        self._detector: Detector = (
            FromUpstream(manifest, upstream, failing) if scorer is None else Beside(manifest, scorer, failing)
        )
        self._step = upstream.rows_at_once(prod(manifest.input.shape) * np.dtype(np.float32).itemsize)
        self._zeros = np.zeros((min(2, self._step), *manifest.input.shape), np.float32)
        self._watch = Watch(
            upstream,
            self._detector.health,
            self._check_answer,
            lambda: self._detector.check(self._zeros),
            every_s=min(_LOOK_EVERY_S, failing.probe_s),
        )
        try:
            self._watch.first_look()
        except KnockguardError as error:
            self.close()
            raise self._misfit(error) from error
        self._watch.start()

    @property
    def provider(self) -> str:
        return self._kind

    @property
    def ready(self) -> bool:
        return all(dependency.lets_through for dependency in self.dependencies)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        return self._upstream.health, self._detector.health

    def infer(self, inputs: Floats, *, waiting: Waiting | None = None) -> tuple[Floats, Floats | None]:
        waiting, step = waiting or Waiting(), self._step
        if len(inputs) <= step:
            return self._part(inputs, waiting)
        parts = [self._part(inputs[start : start + step], waiting) for start in range(0, len(inputs), step)]
        scores = [found for _, found in parts if found is not None]
        # Without the scores of one part, the request is one that the detector has not seen.
        return np.concatenate([answer for answer, _ in parts]), np.concatenate(scores) if len(scores) == len(parts) else None

    def _part(self, inputs: Floats, waiting: Waiting) -> tuple[Floats, Floats | None]:
        if waiting.gone:
            raise DeadlineError("the caller left before the model was asked")
        called, scored = (dependency.enter() for dependency in self.dependencies)
        if called is None:  # told at once: else every caller would wait for the same silence
            raise self._upstream.health.away()
        if scored is None and self._detector.health.mode is FailMode.CLOSED:
            raise self._detector.health.away()
        return self._infer(inputs, waiting, called, scored)

    def close(self) -> None:
        self._watch.close()
        self._upstream.close()
        self._detector.close()

    def _infer(self, inputs: Floats, waiting: Waiting, called: int, scored: int | None) -> tuple[Floats, Floats | None]:
        """Ask under the tickets of upstream and detector; without the second one, for the answer alone."""
        pending = None if scored is None else self._detector.begin(inputs)
        wishes = (self._answer.output,) if scored is None else (self._answer.output, *self._detector.wishes)
        try:
            answer, response = self._upstream.infer(
                (self._manifest.input.name, inputs),
                wishes,
                lambda response: (self._probabilities(response, len(inputs)), response),
                waiting=waiting,
                ticket=called,
            )
        except KnockguardError as error:
            if pending is not None:
                pending.scores.cancel()
            if isinstance(error, InvalidInputError) and scored is not None:
                self._detector.health.suspect()  # an upstream that has no such output any more refuses like this
            raise
        if scored is None:
            return answer, None
        try:
            return answer, self._detector.finish(pending, response, len(inputs), deadline=waiting.deadline, ticket=scored)
        except UnavailableError:
            if self._detector.health.mode is FailMode.CLOSED:
                raise
            return answer, None

    def _probabilities(self, response: pb.ModelInferResponse, n_rows: int) -> Floats:
        (values,) = decode_outputs(response, (self._answer.output,))
        if values.shape != (wanted := (n_rows, len(self._manifest.labels))):
            raise BackendError(f"the model answered with shape {values.shape}; {wanted} was expected")
        return self._answer.probabilities(values)

    def _check_answer(self) -> None:
        """Ask for the answer to rows that no caller chose."""
        zeros = self._zeros
        self._upstream.infer(
            (self._manifest.input.name, zeros), (self._answer.output,), lambda found: self._probabilities(found, len(zeros))
        )

    def _misfit(self, error: KnockguardError) -> BundleError:
        spec, n_classes = self._manifest.input, len(self._manifest.labels)
        also = f", and {SCORES!r} from the bundle's fused model" if self._detector.wishes else ""
        return BundleError(
            f"the upstream's model does not answer as the bundle says: {error}. It must take FP32 {spec.name!r} of shape "
            f"{[-1, *spec.shape]} and give {self._answer.output!r} with {n_classes} classes{also}"
        )
