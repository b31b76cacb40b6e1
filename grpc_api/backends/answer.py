"""What a server that is not ours gives: which output holds the answer, and what it is."""

from dataclasses import dataclass

import numpy as np

from guard.errors import BackendError
from guard.types import Floats

SCORES = "scores"
_SUM_TOLERANCE = 1e-2  # of a row; models in half precision miss one by thousandths
_LEAST = np.float32(1e-30)  # the logarithm of nothing is no number that a client could read


@dataclass(frozen=True, slots=True)
class Answer:
    """The output that holds the answer, and whether it is logits."""

    output: str
    logits: bool = False

    def probabilities(self, values: Floats) -> Floats:
        """Return (n, k) probabilities; BackendError if a row is none, such as logits that nobody told of.

        NaN is left as it is: it is the row's own matter.
        """
        if self.logits:
            exp = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(exp / exp.sum(axis=1, keepdims=True), dtype=np.float32)
        finite = np.isfinite(values).all(axis=1)
        off = (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE)
        if (off & finite).any():
            raise BackendError(
                "the model's answer is no probabilities; if it is logits, say so: upstream.logits in a gateway, "
                "Answer(logits=True) inside a host"
            )
        return values

    def given(self, probabilities: Floats) -> Floats:
        """Return probabilities as the server's clients know its answers.

        Where that is logits, every row becomes its logarithms, altered or not: else the sum of a row would tell which it is.
        """
        return np.log(np.maximum(probabilities, _LEAST)) if self.logits else probabilities
