"""Decisions: who is flagged, what they get, and that nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from guard.bundle import Manifest
from guard.errors import ConfigError, PermissionDeniedError
from guard.guard import Guard
from guard.policies.registry import POLICIES
from guard.secret import Secret
from guard.types import Action, ApplyTo

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]], np.float32)
SCORES = np.array([[0.9, -0.9], [0.1, -0.1], [np.nan, -0.9]], np.float32)
SECRET = Secret(bytes(32), "id")
INPUTS = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)


def guard(manifest: Manifest, policy: str, apply_to: ApplyTo = ApplyTo.FLAGGED) -> Guard:
    return Guard(manifest, POLICIES.get(policy)(), apply_to=apply_to, secret=SECRET)


def test_only_flagged_rows_are_altered_and_the_named_detector_decides(manifest: Manifest) -> None:
    decision = guard(manifest, "label-only").decide(PROBABILITIES, SCORES)
    assert decision.flagged.tolist() == [True, False, True]
    assert decision.actions == (Action.ALTER, Action.ANSWER, Action.ALTER)
    np.testing.assert_array_equal(decision.answers[1], PROBABILITIES[1])
    np.testing.assert_array_equal(decision.answers[0], [1, 0, 0])
    np.testing.assert_array_equal(decision.score, SCORES[:, 0])

    other = guard(manifest.model_copy(update={"detector": "msp"}), "label-only").decide(PROBABILITIES, SCORES)
    assert other.flagged.tolist() == [False, True, False]


@pytest.mark.parametrize(("apply_to", "n_altered"), [(ApplyTo.ALL, 3), (ApplyTo.FLAGGED, 2), (ApplyTo.NOBODY, 0)])
def test_apply_to_says_which_rows_change_and_flags_stay(manifest: Manifest, apply_to: ApplyTo, n_altered: int) -> None:
    decision = guard(manifest, "label-only", apply_to).decide(PROBABILITIES, SCORES)
    assert decision.actions.count(Action.ALTER) == n_altered
    assert decision.flagged.tolist() == [True, False, True]


def test_each_row_is_held_to_the_threshold_of_the_class_ranked_first(manifest: Manifest) -> None:
    """As a guard of that class's threshold alone would decide it, in its flag and in an answer that hangs on the excess."""

    def with_threshold(**changes: object) -> Guard:
        first, second = manifest.detectors
        changed = first.model_copy(update={"threshold": replace(first.threshold, **changes)})  # type: ignore[arg-type]
        own = manifest.model_copy(update={"detectors": (changed, second)})
        policy = POLICIES.get("adaptive-misinformation")(steepness=2.0)  # type: ignore[call-arg]
        return Guard(own, policy, apply_to=ApplyTo.ALL, secret=SECRET)

    scores = np.array([[0.4, 0.0], [0.4, 0.0], [0.4, 0.0]], np.float32)
    values = (0.1, 0.6, 0.3)  # the rows are of classes 0, 1 and 2
    decided = with_threshold(per_class=values).decide(PROBABILITIES, scores)
    assert decided.flagged.tolist() == [True, False, True]
    for row, value in enumerate(values):
        alone = with_threshold(value=value).decide(PROBABILITIES, scores)
        assert alone.flagged[row] == decided.flagged[row]
        np.testing.assert_array_equal(alone.answers[row], decided.answers[row])
    assert len({with_threshold(value=v).decide(PROBABILITIES, scores).answers.tobytes() for v in values}) == 3


def test_observe_flags_and_alters_nothing(manifest: Manifest) -> None:
    decision = guard(manifest, "observe").decide(PROBABILITIES, SCORES)
    assert set(decision.actions) == {Action.ANSWER}
    np.testing.assert_array_equal(decision.answers, PROBABILITIES)


def test_one_refused_row_refuses_its_request(manifest: Manifest) -> None:
    decision = guard(manifest, "refuse").decide(PROBABILITIES, SCORES)
    assert decision.flagged.tolist() == [True, False, True]
    assert decision.actions == (Action.REFUSE, Action.REFUSE, Action.REFUSE)
    assert guard(manifest, "refuse").decide(PROBABILITIES[1:2], SCORES[1:2]).actions == (Action.ANSWER,)
    np.testing.assert_allclose(decision.answers[0], 1 / 3)


def test_shuffle_needs_a_secret_unless_it_stands_on_nobody(manifest: Manifest) -> None:
    shuffle = POLICIES.get("shuffle")()
    with pytest.raises(ConfigError, match="needs a secret"):
        Guard(manifest, shuffle, apply_to=ApplyTo.FLAGGED)
    assert Guard(manifest, shuffle, apply_to=ApplyTo.NOBODY).keys(INPUTS) == ()


def test_a_row_alone_and_in_a_batch_gets_the_same_answer(manifest: Manifest) -> None:
    g = guard(manifest, "shuffle", ApplyTo.ALL)
    together = g.decide(PROBABILITIES, SCORES, g.keys(INPUTS)).answers
    for i in range(3):
        alone = g.decide(PROBABILITIES[i : i + 1], SCORES[i : i + 1], g.keys(INPUTS[i : i + 1])).answers
        np.testing.assert_array_equal(alone[0], together[i])


def test_empty_batch_is_answered(manifest: Manifest) -> None:
    g = guard(manifest, "shuffle")
    decision = g.decide(PROBABILITIES[:0], SCORES[:0], g.keys(INPUTS[:0]))
    assert decision.answers.shape == (0, 3)
    assert decision.actions == ()


def test_graph_that_does_not_fit_its_manifest_is_told(manifest: Manifest) -> None:
    with pytest.raises(ConfigError, match="do not belong together"):
        guard(manifest, "observe").decide(PROBABILITIES, SCORES[:, :1])


def test_whole_guard_in_one_call_answers_as_its_parts_and_refuses_by_error(manifest: Manifest) -> None:
    shuffling = guard(manifest, "shuffle")
    parts = shuffling.decide(PROBABILITIES, SCORES, shuffling.keys(INPUTS)).answers
    np.testing.assert_array_equal(shuffling.answer(INPUTS, PROBABILITIES, SCORES), parts)
    refusing = guard(manifest, "refuse")
    with pytest.raises(PermissionDeniedError, match="not answered"):
        refusing.answer(INPUTS, PROBABILITIES, SCORES)
    np.testing.assert_array_equal(refusing.answer(INPUTS[1:2], PROBABILITIES[1:2], SCORES[1:2]), PROBABILITIES[1:2])


def test_guard_as_the_bundle_says_or_as_is_said_instead(manifest: Manifest) -> None:
    own = Guard.of(manifest, secret=SECRET)
    assert (own.policy.name, own.apply_to) == (manifest.policy.name, ApplyTo(manifest.policy.apply_to))
    other = Guard.of(manifest, policy="top-k", options={"k": 1}, apply_to=ApplyTo.ALL)
    assert (other.policy.name, other.apply_to) == ("top-k", ApplyTo.ALL)
    np.testing.assert_allclose(other.decide(PROBABILITIES, SCORES).answers[0], [0.7, 0.15, 0.15], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("apply_to", [ApplyTo.FLAGGED, ApplyTo.ALL])
def test_without_scores_nothing_is_flagged_and_what_stands_on_all_rows_stands(
    manifest: Manifest, name: str, apply_to: ApplyTo
) -> None:
    made = guard(manifest, name, apply_to)
    keys = made.keys(INPUTS)
    unguarded = made.decide(PROBABILITIES, None, keys)
    honest = made.decide(PROBABILITIES, np.full((3, 2), -1e6, np.float32), keys)  # as if no row were suspected in the least
    np.testing.assert_array_equal(unguarded.answers, honest.answers)
    assert (unguarded.actions, unguarded.policies) == (honest.actions, honest.policies)
    assert not unguarded.flagged.any()
    assert np.isnan(unguarded.score).all()
    assert (unguarded.guarded, honest.guarded) == (False, True)
