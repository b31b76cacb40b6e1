"""Rules: the first that matches wins, and a rules file that is wrong says where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.bundle import Manifest
from guard.errors import ConfigError
from guard.guard import Guard
from guard.policies.base import Rows
from guard.policies.observe import Observe
from guard.policies.registry import POLICIES
from guard.policies.rounding import Rounding
from guard.policies.shuffle import Shuffle
from guard.policies.top_k import TopK
from guard.rules import Choice, Rules, When
from guard.secret import Secret
from guard.types import Action, ApplyTo

TENANTS, MODELS = ["free", "paid", "Free"], ["shapes", "roads"]
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]], np.float32)
SCORES = np.array([[0.9, -0.9], [0.1, -0.1], [np.nan, -0.9]], np.float32)
INPUTS = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
TEXT = """
[[rule]]
when = { flagged = true, tenant = "free" }
policy = "shuffle"

[[rule]]
when = { tenant = "free" }
policy = "rounding"
options = { decimals = 1 }

[[rule]]
when = { flagged = true, model = "roads" }
policy = "refuse"
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    path = tmp_path / "rules.toml"
    path.write_text(TEXT)
    return Rules.read(path)


def test_first_match_wins_and_no_match_observes(rules: Rules) -> None:
    assert rules.choose(True, "free", "roads") == Shuffle()
    assert rules.choose(False, "free", "roads") == Rounding(decimals=1)
    assert rules.choose(True, "paid", "roads").name == "refuse"
    assert rules.choose(True, "paid", "shapes") == Observe()
    assert rules.choose(True, None, "shapes") == Observe()
    assert rules.for_request("free", "shapes") == Choice(Shuffle(), Rounding(decimals=1))


whens = st.builds(
    When,
    flagged=st.none() | st.booleans(),
    tenant=st.none() | st.sampled_from(TENANTS),
    model=st.none() | st.sampled_from(MODELS),
)


@given(
    conditions=st.lists(whens, max_size=6),
    flagged=st.booleans(),
    tenant=st.none() | st.sampled_from(TENANTS),
    model=st.sampled_from(MODELS),
)
def test_choice_is_the_first_rule_whose_every_condition_holds(
    conditions: list[When], flagged: bool, tenant: str | None, model: str
) -> None:
    rules = Rules(tuple((when, TopK(k=i + 1)) for i, when in enumerate(conditions)))
    row = {"flagged": flagged, "tenant": tenant, "model": model}
    expected = [
        TopK(k=i + 1)
        for i, when in enumerate(conditions)
        if all(row[name] == asked for name, asked in when.model_dump(exclude_none=True).items())
    ]
    chosen = rules.choose(flagged, tenant, model)
    assert chosen == (expected[0] if expected else Observe())
    assert chosen in rules.policies(model)
    choice = rules.for_request(tenant, model)
    assert chosen == (choice.flagged if flagged else choice.unflagged)


@given(first=whens, second=whens)
def test_covers_means_that_no_row_tells_them_apart(first: When, second: When) -> None:
    rows = [(f, t, m) for f in (True, False) for t in (*TENANTS, "other", None) for m in (*MODELS, "other")]
    assert first.covers(second) == all(first.matches(*row) for row in rows if second.matches(*row))


def test_choice_answers_flagged_and_other_rows_each_by_its_policy() -> None:
    flagged = np.array([True, False, True])
    answers = Choice(POLICIES.get("label-only")(), TopK(k=1)).answer(Rows(PROBABILITIES, ()), flagged)
    np.testing.assert_array_equal(answers[0], [1, 0, 0])
    np.testing.assert_allclose(answers[1], [0.1, 0.8, 0.1])
    np.testing.assert_array_equal(answers[2], [0, 0, 1])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"rules": []}, "rules: there is no such key; did you mean 'rule'?"),
        ({"rule": [{"policy": "shufle"}]}, "rule.0: no policy is called 'shufle'; did you mean 'shuffle'?"),
        ({"rule": [{"polcy": "shuffle"}]}, "rule.0.polcy: there is no such key; did you mean 'policy'?"),
        ({"rule": [{"policy": "shuffle", "when": {"tennant": "a"}}]}, "rule.0.when.tennant: .* did you mean 'tenant'?"),
        ({"rule": [{"policy": "top-k", "options": {"kk": 1}}]}, "rule.0: policy 'top-k' has no option 'kk'; did you mean 'k'?"),
        ({"rule": [{"policy": "top-k", "options": {"k": 0}}]}, "rule.0: top-k: k is 0"),
        ({"rule": [{"policy": "refuse", "when": {"flagged": "yes"}}]}, "rule.0.when.flagged: .*valid boolean"),
        ({"rule": [{"policy": "refuse"}, {"policy": "observe", "when": {"model": "a"}}]}, "rule.1 is never reached: rule.0"),
        ({}, "rule: it must be given"),
    ],
)
def test_a_wrong_file_is_told_where(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rules.of(document)


def test_an_unreadable_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the rules at .*none.toml"):
        Rules.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[[rule]\n")
    with pytest.raises(ConfigError, match=r"bad.toml is no TOML: .*line 1"):
        Rules.read(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bytes.toml is no text file"):
        Rules.read(tmp_path / "bytes.toml")
    (tmp_path / "typo.toml").write_text('[[rule]]\npolicy = "refus"\n')
    with pytest.raises(ConfigError, match=r"typo.toml: rule.0: .*'refuse'"):
        Rules.read(tmp_path / "typo.toml")


def test_guard_decides_by_rules_in_place_of_its_policy(manifest: Manifest, rules: Rules) -> None:
    guard = Guard(manifest, TopK(k=1), apply_to=ApplyTo.ALL, secret=Secret(bytes(32), "id"), rules=rules)
    free = guard.decide(PROBABILITIES, SCORES, guard.keys(INPUTS), tenant="free")
    assert set(free.actions) == {Action.ALTER}
    np.testing.assert_array_equal(np.sort(free.answers[0]), np.sort(PROBABILITIES[0]))
    paid = guard.decide(PROBABILITIES, SCORES, guard.keys(INPUTS), tenant="paid")
    assert paid.flagged.tolist() == [True, False, True]
    assert set(paid.actions) == {Action.ANSWER}
    np.testing.assert_array_equal(paid.answers, PROBABILITIES)


def test_rules_of_other_models_ask_for_no_secret(manifest: Manifest) -> None:
    other = Rules.of({"rule": [{"policy": "shuffle", "when": {"model": "roads"}}]})
    assert Guard(manifest, Observe(), apply_to=ApplyTo.ALL, rules=other).keys(INPUTS) == ()
    own = Rules.of({"rule": [{"policy": "shuffle", "when": {"model": "shapes"}}]})
    with pytest.raises(ConfigError, match="policy 'shuffle' needs a secret"):
        Guard(manifest, Observe(), apply_to=ApplyTo.ALL, rules=own)
