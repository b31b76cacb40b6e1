"""Guard: where scores, threshold and policy meet, and an answer is decided row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guard.bundle import Manifest
from guard.errors import ConfigError, PermissionDeniedError
from guard.policies.base import NearDuplicates, Policy, Rows
from guard.policies.registry import POLICIES
from guard.promise import check_promise
from guard.rowkey import model_key, row_keys
from guard.rules import Choice, Rules
from guard.secret import Secret
from guard.settings import from_options
from guard.types import Action, ApplyTo, Bools, Floats


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for n rows: answers (n, k) float32, flagged (n,), the deciding score (n,), and for each row what was done
    with it and the name of the policy that did it. Not `guarded` where there were no scores: nothing is flagged then.
    """

    answers: Floats
    flagged: Bools
    actions: tuple[Action, ...]
    policies: tuple[str, ...]
    score: Floats
    guarded: bool = True


class Guard:
    """Decides answers. Pure once built: equal rows get equal answers, on every replica that holds the same secret."""

    def __init__(
        self,
        manifest: Manifest,
        policy: Policy,
        *,
        apply_to: ApplyTo,
        secret: Secret | None = None,
        rules: Rules | None = None,
    ) -> None:
        """Decide by `policy` and `apply_to`, or by `rules` in their place.

        ConfigError if a policy needs a secret and none was given, while it can stand on any row of this model.
        """
        names = [d.name for d in manifest.detectors]
        context = f"{manifest.name}/{manifest.version}"
        self._fixed = Choice.of(policy, apply_to)
        self._rules = rules
        in_use = self._fixed.policies if rules is None else rules.policies(manifest.name)
        needy = next((p.name for p in in_use if p.traits.needs_secret), None)
        if needy is not None and secret is None:
            raise ConfigError(
                f"policy {needy!r} needs a secret; make one with `knockguard secret PATH` and give it as secret_file"
            )
        self.needs_keys = any(p.traits.near_duplicates is NearDuplicates.KEYED_BY_IMAGE for p in in_use)
        self.threshold = manifest.detectors[names.index(manifest.detector)].threshold
        self.policy = policy
        self.apply_to = apply_to
        self.detector = manifest.detector
        self._column = names.index(manifest.detector)
        self._n_detectors = len(names)
        self._input = manifest.input
        self._model = manifest.name
        self._context = context
        self._secret = secret
        self._model_key = model_key(context=context, secret=secret) if needy is not None and secret is not None else b""

    @classmethod
    def of(  # noqa: PLR0913  # each has a default
        cls,
        manifest: Manifest,
        *,
        policy: str | None = None,
        options: Mapping[str, float | int | str | bool] | None = None,
        apply_to: ApplyTo | None = None,
        secret: Secret | None = None,
        rules: Rules | None = None,
        unguarded: bool = False,
    ) -> "Guard":
        """Return the guard as a bundle says, or as is said here instead; ConfigError names what does not fit.

        BundleError for a bundle whose threshold is of too few images for what it promises, unless `unguarded`.
        """
        if not unguarded:
            check_promise(manifest, called=f"the bundle of {manifest.name!r}", way_out="take it all the same: unguarded=True")
        own = policy is None
        name = manifest.policy.name if policy is None else policy
        given = {**(manifest.policy.options if own else {}), **(options or {})}
        made = from_options(POLICIES.get(name), given, what=f"policy {name!r}")
        stands_on = apply_to or (ApplyTo(manifest.policy.apply_to) if own else ApplyTo.FLAGGED)
        return cls(manifest, made, apply_to=stands_on, secret=secret, rules=rules)

    @property
    def standing(self) -> str:
        """What answers flagged rows, in a word: the policy's name, or that rules choose it."""
        return self.policy.name if self._rules is None else "by rules"

    @property
    def stands_on(self) -> str:
        """Whom the policy answers, in a word: flagged, all or nobody, or that rules say so."""
        return self.apply_to.value if self._rules is None else self.standing

    @property
    def choices(self) -> Sequence[Choice]:
        """What its callers meet; several where rules tell them apart."""
        return [self._fixed] if self._rules is None else self._rules.choices(self._model)

    def keys(self, inputs: Floats) -> Sequence[bytes]:
        """Return the row keys of (n, ...) model inputs, or none when no policy asks for them."""
        if not self.needs_keys or self._secret is None:
            return ()
        return row_keys(inputs, spec=self._input, context=self._context, secret=self._secret)

    def choice(self, tenant: str | None = None) -> Choice:
        """Return the policies that stand on this caller's rows, flagged and not."""
        return self._fixed if self._rules is None else self._rules.for_request(tenant, self._model)

    def decide(
        self, probabilities: Floats, scores: Floats | None, row_keys: Sequence[bytes] = (), *, tenant: str | None = None
    ) -> Decision:
        """Return the answers to n rows from probabilities (n, k) and scores (n, m), one column a detector.

        None is for scores that failed where the operator lets queries pass without: no row is flagged, and what stands on all
        rows stands.
        """
        if scores is None:
            return self._unguarded(probabilities, row_keys, tenant)
        if scores.shape != (len(probabilities), self._n_detectors):
            raise ConfigError(
                f"the model gave scores of shape {scores.shape} for {len(probabilities)} rows and {self._n_detectors} detectors; "
                "its bundle and its graph do not belong together"
            )
        score = np.ascontiguousarray(scores[:, self._column])
        top = probabilities.argmax(axis=1)
        flagged = self.threshold.flags(score, top)
        choice = self.choice(tenant)
        excess = score - self.threshold.of(top)
        answers = choice.answer(Rows(probabilities, row_keys, excess=excess, model_key=self._model_key), flagged)
        actions = choice.actions(flagged)
        if Action.REFUSE in actions:  # one refused row refuses its request
            actions = (Action.REFUSE,) * len(actions)
        return Decision(answers, flagged, actions, choice.names(flagged), score)

    def _unguarded(self, probabilities: Floats, row_keys: Sequence[bytes], tenant: str | None) -> Decision:
        n_rows = len(probabilities)
        flagged = np.zeros(n_rows, np.bool_)
        least = np.full(n_rows, np.finfo(np.float32).min)  # as far from the threshold as a row can be
        choice = self.choice(tenant)
        answers = choice.answer(Rows(probabilities, row_keys, excess=least, model_key=self._model_key), flagged)
        unknown = np.full(n_rows, np.nan, np.float32)
        return Decision(answers, flagged, choice.actions(flagged), choice.names(flagged), unknown, guarded=False)

    def answer(self, inputs: Floats, probabilities: Floats, scores: Floats, *, tenant: str | None = None) -> Floats:
        """Return what the client gets for n rows, (n, k) float32: the whole guard in one call, for a server of any kind.

        `inputs` (n, ...) is what the model got, `probabilities` (n, k) and `scores` (n, m) are what the fused model made of it.
        PermissionDeniedError if a row is refused: then the whole request is. `decide` tells what was decided as well.
        """
        decision = self.decide(probabilities, scores, self.keys(inputs), tenant=tenant)
        if Action.REFUSE in decision.actions:
            raise PermissionDeniedError("this query is not answered")
        return decision.answers
