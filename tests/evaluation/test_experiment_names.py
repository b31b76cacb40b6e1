"""Names, options and thieves: what an experiment file alone shows cannot be is told before anything is trained."""

import pytest
from small_experiment import small

from evaluation.experiment_names import check_names
from guard.errors import ConfigError

THIRDS = {"victim": 0.4, "detector": 0.2, "calibration": 0.1, "adversary": 0.3}


def test_names_and_options_are_checked_together_with_the_nearest() -> None:
    experiment = small(
        victim={"set": "cifar-10"},
        detectors=["enrgy"],
        policies=[{"name": "top-k", "options": {"kk": 3}, "apply_to": "all"}],
        attacks=["knockof"],
        figures=["table22"],
    )
    with pytest.raises(ConfigError) as caught:
        check_names(experiment, served=True)
    for nearest in ("'cifar10'", "'energy'", "'k'", "'knockoff'", "'table2'"):
        assert f"did you mean {nearest}" in str(caught.value)


def test_detector_that_only_a_study_can_measure_is_refused_where_it_would_be_served() -> None:
    experiment = small(detectors=[{"name": "odin", "options": {"temperature": 10}}])
    check_names(experiment, served=False)
    with pytest.raises(ConfigError, match=r"'odin' cannot be served: it needs the gradient at the input.*knockguard study"):
        check_names(experiment, served=True)
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        check_names(small(detectors=[{"name": "odin", "options": {"temperatur": 10}}]), served=False)


@pytest.mark.parametrize(
    ("changes", "first", "second"),
    [
        ({"attacks": ["knockoff", "copycat"], "adversaries": ["soft"]}, "knockoff with soft", "copycat with soft"),
        (
            {"attacks": [{"name": "knockoff", "adversaries": ["soft", "labels-only"]}, "copycat"]},
            "knockoff with labels-only",
            "copycat with labels-only",
        ),
        (
            {"attacks": ["mixture", {"name": "mixture", "options": {"share": 0.5}}]},
            "mixture with soft",
            "mixture-share=0.5 with soft",
        ),
        (
            {"attacks": ["in-distribution", {"name": "mixture", "options": {"share": 1.0}}]},
            "in-distribution with soft",
            "mixture-share=1.0 with soft",
        ),
        (
            {"adversaries": ["averaging", {"name": "averaging", "options": {"copies": 5}}]},
            "knockoff with averaging",
            "knockoff with averaging-copies=5",
        ),
    ],
)
def test_cells_that_would_be_equal_by_construction_are_refused(changes: dict[str, object], first: str, second: str) -> None:
    with pytest.raises(ConfigError, match=f"'{first}' and '{second}' .*leave one out"):
        check_names(small(**changes), served=True)


@pytest.mark.parametrize("attack", ["mixture", "in-distribution", {"name": "jbda", "options": {"in_domain": True}}])
def test_attack_with_the_victims_own_kind_needs_a_share_of_it(attack: object) -> None:
    check_names(small(attacks=[attack], victim={"shares": THIRDS}), served=True)
    victims = [{"name": "A"}, {"name": "B"}]
    with pytest.raises(ConfigError) as caught:
        check_names(small(victims=victims, attacks=[attack], adversaries=["soft", "labels-only"]), served=True)
    assert str(caught.value).count("own kind of image, and there is none of A, B; give [victim.shares] adversary") == 1


@pytest.mark.parametrize(
    ("adversary", "message"),
    [
        ({"name": "averaging", "options": {"copies": 513}}, "'averaging': a turn of 512 queries .* asks 513 for one"),
        ({"name": "sybil", "options": {"believes": "averagin"}}, "'sybil': .*did you mean 'averaging'"),
    ],
)
def test_adversary_who_could_not_ask_is_named_once(adversary: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_names(small(attacks=["knockoff", "jbda"], adversaries=[adversary]), served=True)
    assert "; adversary" not in str(caught.value)


def test_turn_may_be_filled_by_one_image() -> None:
    check_names(small(adversaries=[{"name": "averaging", "options": {"copies": 512}}]), served=True)


def test_where_nothing_is_asked_nobody_needs_to_be_able_to() -> None:
    check_names(small(attacks=["mixture"]), served=False)
    check_names(small(attacks=["mixture"], budgets=[], surrogates=[], detectors=["energy"]), served=True)


def test_bad_member_of_a_list_is_not_said_to_be_missing_too() -> None:
    with pytest.raises(ConfigError, match=r"attacks\.0\.option: there is no such key; did you mean 'options'") as caught:
        small(attacks=[{"name": "mixture", "option": {"share": 0.1}}])
    assert "at least 1 item" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"attacks: .*at least 1 item"):
        small(attacks=[])
