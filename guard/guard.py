"""Guard: where scores, threshold and policy meet, and an answer is decided row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guard.bundle import Manifest
from guard.errors import ConfigError
from guard.policies.base import Policy, Rows
from guard.rowkey import row_keys
from guard.secret import Secret
from guard.types import Action, ApplyTo, Bools, Floats


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for n rows: answers (n, k) float32, flagged (n,), one action a row, and the deciding score (n,)."""

    answers: Floats
    flagged: Bools
    actions: tuple[Action, ...]
    score: Floats


class Guard:
    """Decides answers. Pure once built: equal rows get equal answers, on every replica that holds the same secret."""

    def __init__(self, manifest: Manifest, policy: Policy, *, apply_to: ApplyTo, secret: Secret | None = None) -> None:
        """ConfigError if the policy needs a secret and none was given, while it stands on any row."""
        self.needs_keys = policy.traits.needs_secret and apply_to is not ApplyTo.NOBODY
        if self.needs_keys and secret is None:
            raise ConfigError(
                f"policy {policy.name!r} needs a secret; make one with `knockguard secret PATH` and give --secret-file PATH"
            )
        names = [d.name for d in manifest.detectors]
        self.threshold = manifest.detectors[names.index(manifest.detector)].threshold
        self.policy = policy
        self.apply_to = apply_to
        self.detector = manifest.detector
        self._column = names.index(manifest.detector)
        self._n_detectors = len(names)
        self._input = manifest.input
        self._context = f"{manifest.name}/{manifest.version}"
        self._secret = secret

    def keys(self, inputs: Floats) -> Sequence[bytes]:
        """Return the row keys of (n, ...) model inputs, or none when the policy asks for none."""
        if not self.needs_keys or self._secret is None:
            return ()
        return row_keys(inputs, spec=self._input, context=self._context, secret=self._secret)

    def decide(self, probabilities: Floats, scores: Floats, row_keys: Sequence[bytes] = ()) -> Decision:
        """Return the answers to n rows from probabilities (n, k) and scores (n, m), one column a detector.

        The policy answers every row and the result is chosen afterwards, so a flagged row takes as long as any other.
        """
        if scores.shape != (len(probabilities), self._n_detectors):
            raise ConfigError(
                f"the model gave scores of shape {scores.shape} for {len(probabilities)} rows and {self._n_detectors} detectors; "
                "its bundle and its graph do not belong together"
            )
        score = np.ascontiguousarray(scores[:, self._column])
        flagged = self.threshold.flags(score)
        acted = self._acted_on(flagged)
        altered = self.policy.answer(Rows(probabilities, row_keys)) if self.apply_to is not ApplyTo.NOBODY else probabilities
        answers = np.where(acted[:, None], altered, probabilities)
        action = Action.REFUSE if self.policy.traits.refuses else Action.ALTER
        changes = self.policy.traits.l1_budget > 0
        actions = tuple(action if changes and a else Action.ANSWER for a in acted.tolist())
        return Decision(answers, flagged, actions, score)

    def _acted_on(self, flagged: Bools) -> Bools:
        if self.apply_to is ApplyTo.FLAGGED:
            return flagged
        return np.full_like(flagged, self.apply_to is ApplyTo.ALL)
