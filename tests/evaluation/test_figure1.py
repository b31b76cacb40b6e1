"""Figure 1: answers by class above, accuracies below, classes in the order of their share."""

import re

from evaluation.figure1 import figure1


def drawn(classes: tuple[str, ...] = ("cat", "dog", "fox")) -> str:
    return figure1([5, 80, 15], [0.9, 0.8, None], {"copy": [0.1, 0.7, 0.2]}, classes)


def test_classes_stand_in_the_order_of_their_share() -> None:
    words = re.findall(r">(cat|dog|fox)<", drawn())
    assert words == ["dog", "fox", "cat"]


def test_victim_and_copies_are_named() -> None:
    assert {"victim", "copy", "share of answers", "even"} <= set(re.findall(r">([^<>]+)</text>", drawn()))


def test_class_without_a_test_image_has_no_dot() -> None:
    """Three dots of the copy, two of the victim."""
    whole = figure1([5, 80, 15], [0.9, 0.8, 0.7], {"copy": [0.1, 0.7, 0.2]})
    assert whole.count("<use ") - drawn(()).count("<use ") == 1


def test_many_classes_go_unnamed() -> None:
    names = tuple(f"sign{i}" for i in range(43))
    assert "sign7" not in figure1([1] * 43, [0.5] * 43, {}, names)


def test_no_answers_at_all_are_drawn_as_none() -> None:
    assert figure1([0, 0], [0.5, 0.5], {}).startswith("<svg")
