"""The proxy: the model computes in somebody else's V2 server, behind us and open to nobody else.

The scores come from there too, where the fused model is served, or from the bundle's own graph in this process, beside a plain
model. Nothing but probabilities and scores is asked for, so nothing else can come back: logits or features that the upstream has
would show what a policy hides.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import numpy as np

from grpc_api.backends.answer import SCORES, Answer
from grpc_api.backends.base import Backend
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Upstream
from guard.bundle import Manifest
from guard.errors import BackendError, BundleError, KnockguardError, NotLoadedError, QuotaExceededError, UnavailableError
from guard.types import Floats


class Proxy(Backend):
    """Asks an upstream; with a scorer, both compute at the same time."""

    name: ClassVar[str] = "proxy"
    computes_here: ClassVar[bool] = False

    def __init__(self, manifest: Manifest, upstream: Upstream, answer: Answer, scorer: Scorer | None = None) -> None:
        """Start even if the upstream is not there yet. BundleError if it is, and its answers do not fit the bundle."""
        self._manifest = manifest
        self._upstream = upstream
        self._answer = answer
        self._scorer = scorer
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scores")
        try:
            with suppress(UnavailableError, QuotaExceededError):
                upstream.refresh(self._check)
        except KnockguardError:
            self.close()
            raise
        upstream.watch(self._check)

    @property
    def provider(self) -> str:
        return "upstream" if self._scorer is None else f"upstream+{self._scorer.provider}"

    @property
    def ready(self) -> bool:
        return self._upstream.ready

    def infer(self, inputs: Floats, *, timeout_s: float | None = None) -> tuple[Floats, Floats]:
        if not self._upstream.ready:  # told at once: else every caller would wait for the same silence
            raise NotLoadedError("the model is not there now; try again shortly")
        return self._infer(inputs, timeout_s)

    def close(self) -> None:
        self._upstream.close()
        self._beside.shutdown(wait=True, cancel_futures=True)

    def _infer(self, inputs: Floats, timeout_s: float | None) -> tuple[Floats, Floats]:
        name = self._manifest.input.name
        if self._scorer is None:
            answer, scores = self._upstream.infer(name, inputs, (self._answer.output, SCORES), timeout_s=timeout_s)
        else:
            pending = self._beside.submit(self._scorer.scores, inputs)
            (answer,) = self._upstream.infer(name, inputs, (self._answer.output,), timeout_s=timeout_s)
            scores = pending.result()
        wanted = (len(inputs), len(self._manifest.labels)), (len(inputs), len(self._manifest.detectors))
        if (answer.shape, scores.shape) != wanted:
            raise BackendError(f"the model answered with shapes {answer.shape} and {scores.shape}; {wanted} were expected")
        return self._answer.probabilities(answer), scores

    def _check(self) -> None:
        """BundleError if two rows of nothing are not answered as the bundle says; a fault that may pass is no such thing."""
        try:
            self._infer(np.zeros((2, *self._manifest.input.shape), np.float32), None)
        except (NotLoadedError, QuotaExceededError):
            raise
        except KnockguardError as error:
            spec, n_classes = self._manifest.input, len(self._manifest.labels)
            also = "" if self._scorer else f", and {SCORES!r} from the bundle's fused model"
            raise BundleError(
                f"the upstream's model does not answer as the bundle says: {error}. It must take FP32 {spec.name!r} of shape "
                f"{[-1, *spec.shape]} and give {self._answer.output!r} with {n_classes} classes{also}"
            ) from error
