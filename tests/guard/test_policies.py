"""The contract of every policy, held to what its traits promise."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows
from guard.policies.registry import POLICIES
from guard.settings import from_options
from guard.types import Floats


@dataclass(frozen=True)
class Case:
    """One row of the table: a policy and the options to test it with."""

    name: str
    options: dict[str, float] = field(default_factory=dict)

    def build(self) -> Policy:
        return from_options(POLICIES.get(self.name), self.options, what=self.name)


CASES = [
    Case("observe"),
    Case("shuffle"),
    Case("label-only"),
    Case("top-k"),
    Case("top-k", {"k": 1}),
    Case("rounding"),
    Case("rounding", {"decimals": 1}),
    Case("reverse-sigmoid"),
    Case("reverse-sigmoid", {"beta": 2.0, "gamma": 3.0}),
    Case("adaptive-misinformation"),
    Case("adaptive-misinformation", {"steepness": 2.0, "region": 1}),
    Case("mad-argmax"),
    Case("mad-argmax", {"epsilon": 0.2}),
    Case("modelguard"),
    Case("modelguard", {"epsilon": 0.2}),
    Case("refuse"),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join([c.name, *map(str, c.options.values())]))


def test_every_registered_policy_is_in_the_table() -> None:
    assert {case.name for case in CASES} == set(POLICIES)


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    n, k = draw(st.integers(0, 6)), draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(size=(n, k)) * draw(st.sampled_from([0.0, 0.1, 3.0, 60.0]))
    exp = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-1e9))
    probabilities = (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)
    excess = rng.normal(size=n).astype(np.float32)
    return Rows(probabilities, [rng.bytes(32) for _ in range(n)], excess=excess, model_key=rng.bytes(32))


def answer(policy: Policy, rows: Rows) -> Floats:
    before = rows.probabilities.copy()
    answers = policy.answer(rows)
    np.testing.assert_array_equal(rows.probabilities, before, err_msg="a policy wrote into its input")
    assert answers.shape == before.shape
    assert answers.dtype == np.float32
    assert not np.shares_memory(answers, rows.probabilities)
    return answers


@cases
@settings(max_examples=60, deadline=None)
@given(rows=some_rows())
def test_rows_sum_to_one_and_are_probabilities(case: Case, rows: Rows) -> None:
    answers = answer(case.build(), rows)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)
    assert (answers >= 0).all()


def test_option_that_is_a_number_is_not_a_yes() -> None:
    with pytest.raises(ConfigError, match="k is true; it must be a number"):
        from_options(POLICIES.get("top-k"), {"k": True}, what="top-k")


@cases
@settings(max_examples=60, deadline=None)
@given(rows=some_rows())
def test_traits_hold(case: Case, rows: Rows) -> None:
    policy = case.build()
    answers = answer(policy, rows)
    moved = np.abs(answers - rows.probabilities).sum(axis=1)
    assert policy.l1_budget <= policy.traits.l1_budget <= 2
    assert (moved <= policy.l1_budget + 1e-5).all()
    if policy.traits.keeps_top_label:
        top = rows.probabilities.argmax(axis=1)
        np.testing.assert_array_equal(answers.argmax(axis=1), top, err_msg="the top label lost its place")


@cases
@settings(max_examples=40, deadline=None)
@given(rows=some_rows())
def test_rows_are_independent_and_repeatable(case: Case, rows: Rows) -> None:
    policy = case.build()
    together = answer(policy, rows)
    alone = [answer(policy, only(rows, i)) for i in range(len(rows.row_keys))]
    if alone:
        np.testing.assert_array_equal(together, np.concatenate(alone))


def only(rows: Rows, i: int) -> Rows:
    excess = None if rows.excess is None else rows.excess[i : i + 1]
    return replace(rows, probabilities=rows.probabilities[i : i + 1], row_keys=rows.row_keys[i : i + 1], excess=excess)


def rekeyed(rows: Rows) -> Rows:
    return replace(rows, row_keys=[bytes(b ^ 0xFF for b in key) for key in rows.row_keys])


def with_other_secret(rows: Rows) -> Rows:
    return replace(rekeyed(rows), model_key=bytes(b ^ 0xFF for b in rows.model_key))


@cases
@settings(max_examples=40, deadline=None)
@given(rows=some_rows())
def test_only_what_the_traits_name_changes_an_answer(case: Case, rows: Rows) -> None:
    policy = case.build()
    answers = answer(policy, rows)
    if policy.traits.near_duplicates is not NearDuplicates.KEYED_BY_IMAGE:
        np.testing.assert_array_equal(answer(policy, rekeyed(rows)), answers, err_msg="another image's key")
    if policy.traits.near_duplicates in (NearDuplicates.DETERMINISTIC, NearDuplicates.NO_ANSWER):
        assert not policy.traits.needs_secret
        blind = answer(policy, replace(rows, row_keys=(), excess=None, model_key=b""))
        np.testing.assert_array_equal(blind, answers, err_msg="no keys and no score")
    else:
        assert policy.traits.needs_secret


@cases
def test_what_the_traits_name_does_change_an_answer(case: Case) -> None:
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.full(12, 0.4), size=50).astype(np.float32)
    keys = [rng.bytes(32) for _ in probabilities]
    rows = Rows(probabilities, keys, excess=np.ones(50, np.float32), model_key=rng.bytes(32))
    policy = case.build()
    same_image = (answer(policy, rekeyed(rows)) == answer(policy, rows)).all(axis=1)
    same_secret = (answer(policy, with_other_secret(rows)) == answer(policy, rows)).all(axis=1)
    # Of 12! orders two agree for none of 50 rows; a false alarm has a chance of about 1e-7.
    assert same_image.any() == (policy.traits.near_duplicates is not NearDuplicates.KEYED_BY_IMAGE)
    assert same_secret.any() == (not policy.traits.needs_secret)


@pytest.mark.parametrize("name", ["reverse-sigmoid", "mad-argmax", "modelguard"])
@settings(max_examples=60, deadline=None)
@given(rows=some_rows())
def test_a_clear_top_label_stands_alone_at_the_top(name: str, rows: Rows) -> None:
    answers = answer(Case(name).build(), rows)
    ranked = np.sort(rows.probabilities, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 0.01
    np.testing.assert_array_equal(answers.argmax(axis=1)[clear], rows.probabilities.argmax(axis=1)[clear])


@pytest.mark.parametrize("name", ["reverse-sigmoid", "mad-argmax", "modelguard"])
def test_a_small_step_in_the_probabilities_is_no_jump_of_the_label(name: str) -> None:
    rng = np.random.default_rng(2)
    sharp = rng.dirichlet(np.full(10, 0.3), size=200).astype(np.float32)
    ranked = np.sort(sharp, axis=1)
    sharp = sharp[ranked[:, -1] - ranked[:, -2] > 0.05]
    near = (0.99 * sharp + 0.001).astype(np.float32)
    policy = Case(name).build()
    np.testing.assert_array_equal(answer(policy, Rows(sharp, ())).argmax(axis=1), answer(policy, Rows(near, ())).argmax(axis=1))


@settings(max_examples=40, deadline=None)
@given(rows=some_rows())
def test_shuffle_keeps_every_value_and_depends_on_the_key(rows: Rows) -> None:
    answers = answer(Case("shuffle").build(), rows)
    np.testing.assert_array_equal(np.sort(answers, axis=1), np.sort(rows.probabilities, axis=1))


def test_shuffle_puts_the_top_label_anywhere_with_equal_chance() -> None:
    rng, n, k = np.random.default_rng(1), 6000, 6
    rows = Rows(np.tile(np.array([0.5, 0.2, 0.1, 0.1, 0.06, 0.04], np.float32), (n, 1)), [rng.bytes(32) for _ in range(n)])
    counts = np.bincount(answer(Case("shuffle").build(), rows).argmax(axis=1), minlength=k)
    # 6 sigma of a binomial count: a false alarm in about 1e-8 of runs.
    assert np.abs(counts - n / k).max() < 6 * np.sqrt(n / k * (1 - 1 / k))


def test_shuffle_is_frozen_across_releases() -> None:
    rows = Rows(np.array([[0.4, 0.3, 0.2, 0.1]], np.float32), [bytes(range(32))])
    frozen = np.array([[0.4, 0.2, 0.3, 0.1]], np.float32)  # shake_256 is a standard, so this may never change
    np.testing.assert_array_equal(answer(Case("shuffle").build(), rows), frozen)


def test_rounding_keeps_mass_that_plain_rounding_would_lose() -> None:
    rows = Rows(np.full((1, 250), 1 / 250, np.float32), [b""])
    assert answer(Case("rounding").build(), rows).sum() == pytest.approx(1.0)


@cases
def test_two_classes_and_a_thousand_are_answered(case: Case) -> None:
    rng = np.random.default_rng(3)
    for k in (1, 2, 1000):
        y = rng.dirichlet(np.full(k, 0.1), size=3).astype(np.float32)
        answers = answer(case.build(), Rows(y, [bytes(32)] * 3, excess=np.ones(3, np.float32), model_key=bytes(32)))
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("top-k", {"k": 0}, "k is 0; it must be at least 1"),
        ("rounding", {"decimals": 9}, "decimals is 9; it must be 1 to 6"),
        ("rounding", {"decimal": 2}, "did you mean 'decimals'"),
        ("top-k", {"k": "many"}, "k: "),
        ("shuffle", {"seed": 1}, "it takes no options"),
        ("reverse-sigmoid", {"beta": 0}, "beta is 0.0; it must be above 0"),
        ("reverse-sigmoid", {"gama": 1}, "did you mean 'gamma'"),
        ("adaptive-misinformation", {"steepness": -1}, "steepness is -1.0; it must be above 0"),
        ("adaptive-misinformation", {"region": 9}, "region is 9; it must be 1 to 5"),
        ("mad-argmax", {"epsilon": 3}, "epsilon is 3.0; it must be above 0 and at most 2"),
        ("modelguard", {"epsilon": float("nan")}, "epsilon is nan; it must be above 0 and at most 2"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_options(POLICIES.get(name), options, what=name)


def test_unknown_policy_hears_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'shuffle'"):
        POLICIES.get("shufle")
