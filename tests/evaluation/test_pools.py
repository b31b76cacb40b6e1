"""Out pools: no class on both sides, whether a table says so or a draw does."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.datasets import DATASETS, ImageSet, Split, image_set, load
from evaluation.datasets.cifar10 import Stack
from evaluation.pool_classes import ClassSplit, Kind, Side, identity_of, is_among, kind_of
from evaluation.pools import By, PoolChoice, load_pools
from guard.errors import InvalidInputError

ANIMALS = [f"n0144{i:04} animal {i}" for i in range(8000, 8020)]
OBJECTS = [f"n0300{i:04} thing {i}" for i in range(30)]
HEAD = "file,label,wnid,name,kind,pool\n"


def shown(name: str, classes: list[str], *, each: int = 2) -> ImageSet:
    labels = np.repeat(np.arange(len(classes)), each)
    return image_set(name, "train", Stack(np.zeros((len(labels), 2, 2, 3), np.uint8)), labels, classes=tuple(classes))


def identities(images: ImageSet) -> set[str]:
    return {identity_of(images.classes[label]) for label in images.labels.tolist()}


@pytest.mark.parametrize("seed", range(5))
def test_drawn_split_is_stratified_disjoint_and_seeded(seed: int) -> None:
    sets = [shown("pool", ANIMALS + OBJECTS), shown("second", [n.replace(" ", "_") for n in (OBJECTS + ANIMALS)[5:40]])]
    split = ClassSplit.drawn(sets, detector_share=0.5, seed=seed)
    split.check()
    fitted = split.labels("pool", side=Side.DETECTOR)
    assert len(fitted & split.labels("pool", kind=Kind.ANIMAL)) == 10
    assert len(fitted & split.labels("pool", kind=Kind.OBJECT)) == 15
    assert len(fitted) + len(split.labels("pool", side=Side.ATTACK)) == 50
    known = {identity_of(sets[0].classes[label]) for label in fitted}
    tested = {identity_of(sets[1].classes[label]) for label in split.labels("second", side=Side.TEST)}
    assert tested
    assert not known & tested
    assert split == ClassSplit.drawn(sets, detector_share=0.5, seed=seed)
    assert split != ClassSplit.drawn(sets, detector_share=0.5, seed=seed + 1)


def test_classes_without_wordnet_ids_are_split_by_name_alone() -> None:
    split = ClassSplit.drawn(
        [shown("pool", ["Cat", "dog", "eel", "fox"]), shown("second", ["cat", "Dog", "owl"])], detector_share=0.5, seed=0
    )
    split.check()
    assert len(split.labels("pool", side=Side.DETECTOR)) == 2
    assert split.labels("second", side=Side.TEST) >= {2}
    assert kind_of("cat") is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("n01440764 tench", Kind.ANIMAL),
        ("n02655020_puffer", Kind.ANIMAL),
        ("n02666196 abacus", Kind.OBJECT),
        ("n15075141", Kind.OBJECT),
    ],
)
def test_kind_is_told_from_the_wordnet_id(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind


def test_table_with_a_class_on_both_sides_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pools.csv"
    path.write_text(HEAD + "a,0,n01443537,goldfish,animal,detector\nb,7,n01443537,goldfish,animal,test\n")
    with pytest.raises(InvalidInputError, match="n01443537"):
        ClassSplit.read(path).check()


@pytest.mark.parametrize(
    "row", ["a,0,n01443537,goldfish,animal,train", "a,0,n01443537,goldfish,beast,test", "a,x,n1,fish,animal,test"]
)
def test_table_row_that_cannot_be_used_is_named(row: str, tmp_path: Path) -> None:
    (tmp_path / "pools.csv").write_text(HEAD + row + "\n")
    with pytest.raises(InvalidInputError, match=r"train|beast|'label'"):
        ClassSplit.read(tmp_path / "pools.csv")


def test_table_that_numbers_classes_otherwise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pools.csv").write_text(HEAD + "pool,0,n01443537,goldfish,animal,detector\n")
    split = ClassSplit.read(tmp_path / "pools.csv")
    split.check_names(shown("pool", ["n01443537 goldfish"]))
    with pytest.raises(InvalidInputError, match="n01440764 tench"):
        split.check_names(shown("pool", ["n01440764 tench"]))


def put_pools(folder: Path) -> None:
    """Write a pool of four classes and a second one of four, in the published layouts."""
    from PIL import Image

    def image(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, format="JPEG")

    wnids = ["n01443537", "n01641577", "n02666196", "n02795169"]
    root = folder / "tiny-imagenet-200"
    for wnid in wnids:
        for i in range(4):
            image(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
    (root / "wnids.txt").write_text("\n".join(wnids))
    (root / "words.txt").write_text("n01443537\tgoldfish\n")
    for name in (*(f"{wnid}_x" for wnid in wnids), "n01440764_tench"):
        image(folder / "imagenet-sample-images" / f"{name}.JPEG")


def test_pools_are_drawn_where_there_is_no_table(tmp_path: Path) -> None:
    put_pools(tmp_path)
    pools = load_pools(tmp_path, PoolChoice(), seed=0)
    assert pools.origin == "drawn by class, seed 0"
    assert len(pools.detector) == len(pools.attack) == 8
    assert len(pools.near) == len(pools.far) == 4
    assert not identities(pools.detector) & identities(pools.attack)
    assert pools.second is not None
    assert identities(pools.second) == identities(pools.attack) | {"n01440764"}


def test_table_in_the_data_folder_decides(tmp_path: Path) -> None:
    put_pools(tmp_path)
    rows = [
        "tiny-imagenet-200,0,n01443537,goldfish,animal,detector",
        "tiny-imagenet-200,1,n01641577,bullfrog,animal,attack",
        "imagenet-samples-1000,0,n01440764,tench,animal,test",
        "imagenet-samples-1000,1,n01443537,goldfish,animal,excluded",
    ]
    (tmp_path / "pools.csv").write_text(HEAD + "\n".join(rows) + "\n")
    pools = load_pools(tmp_path, PoolChoice(), seed=0)
    assert pools.origin == "by pools.csv"
    assert (identities(pools.detector), identities(pools.attack)) == ({"n01443537"}, {"n01641577"})
    assert len(pools.far) == 0
    assert pools.second is not None
    assert identities(pools.second) == {"n01440764"}


def test_table_about_other_sets_decides_nothing(tmp_path: Path) -> None:
    put_pools(tmp_path)
    (tmp_path / "pools.csv").write_text(HEAD + "other,0,n01443537,goldfish,animal,detector\n")
    assert load_pools(tmp_path, PoolChoice(second=None), seed=3).origin == "drawn by class, seed 3"


def test_split_by_images_shares_classes_and_no_image(tmp_path: Path) -> None:
    put_pools(tmp_path)
    pools = load_pools(tmp_path, PoolChoice(by=By.IMAGES, detector_share=0.75), seed=0)
    assert identities(pools.detector) == identities(pools.attack)
    assert (len(pools.detector), len(pools.attack)) == (12, 4)
    assert not set(pools.detector.rows.tolist()) & set(pools.attack.rows.tolist())
    assert "both sides know" in pools.origin


def test_pool_too_small_to_be_split_is_refused(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": b"x", "path": None}], "label": [0]})
    pq.write_table(table, tmp_path / "tiny-imagenet-200.parquet")
    with pytest.raises(InvalidInputError, match="give more classes"):
        load_pools(tmp_path, PoolChoice(second=None), seed=0)


def test_second_pool_can_never_be_trained_on() -> None:
    assert DATASETS.get("imagenet-samples-1000").splits == (Split.TEST,)


@pytest.mark.data
def test_real_pools_follow_their_table(data_folder: Path) -> None:
    pools = load_pools(data_folder, PoolChoice(), seed=0)
    assert pools.origin == "by pools.csv"
    assert (len(pools.detector), len(pools.attack)) == (99 * 200, 101 * 200)
    assert (len(pools.near), len(pools.far)) == (30 * 200, 71 * 200)
    assert pools.second is not None
    assert len(pools.second) == 901
    assert not identities(pools.detector) & (identities(pools.attack) | identities(pools.second))


@pytest.mark.data
def test_drawn_kinds_agree_with_the_table_on_every_class_of_the_pool(data_folder: Path) -> None:
    table = ClassSplit.read(data_folder / "pools.csv")
    classes = load("tiny-imagenet-200", data_folder).classes
    assert {i for i, name in enumerate(classes) if kind_of(name) is Kind.ANIMAL} == table.labels(
        "tiny-imagenet-200", kind=Kind.ANIMAL
    )


@pytest.mark.parametrize(
    ("name", "kinds", "among"),
    [
        ("n02085620 Chihuahua", ["n02085620"], True),
        ("n02099712_Labrador_retriever", ["n01440764", "n02085620-n02113978"], True),
        ("n02113978_Mexican_hairless", ["n02085620-n02113978"], True),
        ("n02114367_timber_wolf", ["n02085620-n02113978"], False),
        ("abacus", ["n02085620-n02113978"], False),
    ],
)
def test_class_is_of_a_kind_by_its_id(name: str, kinds: list[str], among: bool) -> None:
    assert is_among(name, kinds) is among


def test_kinds_of_the_victims_own_are_in_no_pool(tmp_path: Path) -> None:
    put_pools(tmp_path)
    pools = load_pools(tmp_path, PoolChoice(), seed=3)
    gone = sorted(identities(pools.attack))[0]
    left = pools.without([gone])
    assert left.second is not None
    for images in (left.detector, left.attack, left.near, left.far, left.second):
        assert gone not in identities(images)
    assert identities(left.attack) == identities(pools.attack) - {gone}
    with pytest.raises(InvalidInputError, match="own_kinds: no class of the out pools is n99999999"):
        pools.without(["n99999999"])
