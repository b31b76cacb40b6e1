"""Which classes a public set has too: by name, by meaning, and by the mapping that has the last word."""

import numpy as np
import pytest

from evaluation.overlap import Overlap, imagenet_classes, plain, read_mapping
from guard.errors import InvalidInputError

PUBLIC = frozenset({"killer whale", "airliner", "Egyptian cat", "odometer"})


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("Killer_Whale", True),
        ("027.killer-whale", True),
        ("n02124075_Egyptian_cat", True),
        ("egyptian  cat", True),
        ("cat", False),
        ("whale", False),
        ("airplane", False),
    ],
)
def test_names_are_compared_without_case_number_and_punctuation(name: str, same: bool) -> None:
    assert (name in Overlap(PUBLIC).classes([name])) == same


def test_plain_name_keeps_a_number_that_is_no_ordinal() -> None:
    assert plain("Boeing 747") == "boeing 747"
    assert plain("257.clutter") == "clutter"


def test_mapping_has_the_last_word_either_way() -> None:
    overlap = Overlap(PUBLIC, {"airplane": "airliner", "odometer": ""})
    assert overlap.classes(["airplane", "odometer", "killer whale"]) == {"airplane", "killer whale"}


def test_names_that_mean_the_same_overlap() -> None:
    meant = {"airplane": frozenset({"plane.1"}), "airliner": frozenset({"plane.1"}), "cat": frozenset({"cat.1"})}
    overlap = Overlap(PUBLIC, meanings=lambda name: meant.get(name, frozenset()))
    assert overlap.classes(["airplane", "cat"]) == {"airplane"}


def test_a_class_overlaps_with_its_kinds_and_with_what_it_is_a_kind_of() -> None:
    meant = {name: frozenset({name}) for name in ("whale", "killer whale", "orca of the north", "cat")}
    above = {"killer whale": frozenset({"whale"}), "orca of the north": frozenset({"killer whale", "whale"})}
    overlap = Overlap(PUBLIC, {}, lambda name: meant.get(name, frozenset()), lambda name: above.get(name, frozenset()))
    assert overlap.classes(["whale", "orca of the north", "cat"]) == {"whale", "orca of the north"}
    assert Overlap(PUBLIC, meanings=overlap.meanings).classes(["whale", "orca of the north"]) == frozenset()


def test_rows_follow_their_classes_and_no_class_overlaps_with_nothing() -> None:
    found = Overlap(PUBLIC).rows(["odometer", None, "cat", "odometer"])
    np.testing.assert_array_equal(found, [True, False, False, True])
    assert Overlap(frozenset()).rows(["cat"]).tolist() == [False]


def test_imagenet_has_its_thousand_names_without_a_download() -> None:
    names = imagenet_classes()
    assert {"goldfish", "killer whale", "odometer"} <= set(names)
    assert len(names) == len(set(names)) == 1000
    # The paper finds no class of CIFAR10 in ImageNet.
    cifar10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert Overlap(frozenset(names)).classes(cifar10) == frozenset()


def test_mapping_is_read_from_a_table(tmp_path) -> None:
    (tmp_path / "map.csv").write_text("class,public\nairplane,airliner\ncat,\n")
    assert read_mapping(tmp_path / "map.csv") == {"airplane": "airliner", "cat": ""}
    (tmp_path / "odd.csv").write_text("name,public\na,b\n")
    with pytest.raises(InvalidInputError, match="no column 'class'"):
        read_mapping(tmp_path / "odd.csv")
