"""Where a proxy's scores come from: the fused model upstream, or the bundle's own graph beside the gateway."""

from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

import numpy as np

from grpc_api.backends.answer import SCORES
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Upstream
from grpc_api.converters import decode_outputs
from grpc_api.dependency import Dependency, Fault
from grpc_api.failing import FailingSettings
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.bundle import Manifest
from guard.errors import BackendError, DeadlineError, InvalidInputError
from guard.types import Floats

_FAILED = "the model failed to answer"  # that there is a detector, and that it is the one which failed, is not told


@dataclass(frozen=True, slots=True)
class Pending:
    """Scores that are being computed, and since when, on `perf_counter`'s clock."""

    scores: "Future[Floats]"
    began: float = field(default_factory=perf_counter)


class Detector(ABC):
    """Gives scores, and judges them: what a caller's rows cannot bring about is its fault.

    A score that is not a number may be the row's own doing. It stays, and its row is flagged; but it makes the detector suspect,
    and a detector that has no number for rows that it had one for before is broken.
    """

    wishes: tuple[str, ...] = ()  # what is asked of the upstream for it

    def __init__(self, manifest: Manifest, failing: FailingSettings) -> None:
        self.health = Dependency("detector", failing.patience, mode=failing.detector, model=manifest.name)
        self._n_detectors = len(manifest.detectors)
        self._had_numbers = False

    def begin(self, inputs: Floats) -> Pending | None:
        """Start what can be done while the upstream computes."""
        return None

    def finish(
        self, pending: Pending | None, response: pb.ModelInferResponse, n_rows: int, *, deadline: float, ticket: int
    ) -> Floats:
        """Return (n, m) scores of a caller's rows; DeadlineError if the caller's own `deadline` passed, else BackendError."""
        try:
            scores = self._checked(self._read(pending, response, deadline), n_rows)
        except DeadlineError:
            self.health.suspect()
            raise
        except TimeoutError:
            self.health.failed(Fault.TIMEOUT, ticket)
            raise BackendError(_FAILED) from None
        except (InvalidInputError, BackendError) as error:
            own = isinstance(error.__cause__, Exception)  # the graph itself failed, and gave nothing that could be garbage
            self.health.failed(Fault.ERROR if own else Fault.GARBAGE, ticket, str(error))
            raise BackendError(_FAILED) from error
        if np.isfinite(scores).all():
            self.health.succeeded(ticket)
        else:
            self.health.suspect()
        return scores

    def check(self, inputs: Floats) -> None:
        """Ask for the scores of rows that no caller chose; raises what the question does, BackendError where they are none."""
        scores = self._checked(self._alone(inputs), len(inputs))
        finite = bool(np.isfinite(scores).all())
        if self._had_numbers and not finite:
            raise BackendError("the scores of rows that had one are no numbers")
        self._had_numbers = finite

    def close(self) -> None:  # noqa: B027  # most have nothing to end
        """End what runs beside."""

    @abstractmethod
    def _read(self, pending: Pending | None, response: pb.ModelInferResponse, deadline: float) -> Floats:
        """Return what there is; TimeoutError if its own time is over, DeadlineError if the caller's is."""

    @abstractmethod
    def _alone(self, inputs: Floats) -> Floats:
        """Return the scores of a question of its own."""

    def _checked(self, scores: Floats, n_rows: int) -> Floats:
        if scores.shape != (wanted := (n_rows, self._n_detectors)):
            raise BackendError(f"scores have shape {scores.shape}; {wanted} was expected")
        return scores


class FromUpstream(Detector):
    """The fused model is there: one answer holds both."""

    wishes = (SCORES,)

    def __init__(self, manifest: Manifest, upstream: Upstream, failing: FailingSettings) -> None:
        super().__init__(manifest, failing)
        self._upstream = upstream
        self._input = manifest.input.name

    def _read(self, pending: Pending | None, response: pb.ModelInferResponse, deadline: float) -> Floats:
        return decode_outputs(response, self.wishes)[0]

    def _alone(self, inputs: Floats) -> Floats:
        # Read outside: what is wrong with scores is no fault of the upstream's.
        return self._read(None, self._upstream.infer((self._input, inputs), self.wishes, lambda response: response), inf)


class Beside(Detector):
    """A plain model is there: the bundle's own graph computes the scores here, at the same time."""

    def __init__(self, manifest: Manifest, scorer: Scorer, failing: FailingSettings) -> None:
        super().__init__(manifest, failing)
        self._scorer = scorer
        self._timeout_s = failing.detector_timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scores")

    def begin(self, inputs: Floats) -> Pending:
        return Pending(self._thread.submit(self._scorer.scores, inputs))

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _read(self, pending: Pending | None, response: pb.ModelInferResponse, deadline: float) -> Floats:
        assert pending is not None  # `begin` gave it
        own = pending.began + self._timeout_s
        try:
            return pending.scores.result(max(0.0, min(deadline, own) - perf_counter()))
        except TimeoutError:
            pending.scores.cancel()
            if deadline < own:
                raise DeadlineError(
                    "the deadline passed before the model answered; allow more time or ask less at once"
                ) from None
            raise

    def _alone(self, inputs: Floats) -> Floats:
        try:
            return self._read(self.begin(inputs), pb.ModelInferResponse(), inf)
        except TimeoutError:
            raise BackendError(f"there are no scores within {self._timeout_s:g} s") from None
