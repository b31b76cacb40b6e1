"""Each loader reads the layout that its set is published in, and says what it wants when that is not there."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from trees import Put, python2_pickle

from evaluation.datasets import DATASETS, UNLABELLED, Split, load
from guard.errors import ConfigError, InvalidInputError

TRAIN, TEST = Split.TRAIN, Split.TEST


@pytest.mark.parametrize("name", list(DATASETS))
def test_missing_set_says_where_it_looked_what_it_wants_and_how_to_get_it(name: str, tmp_path: Path) -> None:
    dataset = DATASETS.get(name)
    with pytest.raises(InvalidInputError) as caught:
        load(name, tmp_path, dataset.splits[0])
    for part in (str(tmp_path), f"{name}-{dataset.splits[0]}.parquet", dataset.layout, dataset.source):
        assert part in str(caught.value)
    assert dataset.name == name


def test_unknown_set_hears_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        load("cifar-10", Path())


@pytest.mark.parametrize("name", ["imagenet-samples-1000", "openimages"])
def test_pool_for_tests_has_no_training_split(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has no train split"):
        load(name, tmp_path, TRAIN)


@pytest.mark.parametrize(
    ("name", "extra", "n_test"),
    [
        ("caltech101", "BACKGROUND_Google", 20),
        ("caltech256", "257.clutter", 25),
    ],
)
def test_caltech_holds_out_a_fixed_number_and_leaves_the_background(
    name: str, extra: str, n_test: int, put: Put, tmp_path: Path
) -> None:
    folder = DATASETS.get(name).folders[0]
    classes = ("accordion", "yin_yang") if name == "caltech101" else ("001.ak47", "256.toad")
    put(*(f"{folder}/{classes[0]}/image_{i:04}.jpg" for i in range(90)), *(f"{folder}/{classes[1]}/{i}.jpg" for i in range(6)))
    put(f"{folder}/{extra}/x.jpg")
    train, test = load(name, tmp_path, TRAIN), load(name, tmp_path, TEST)
    assert train.classes == classes
    assert test.counts.tolist() == [n_test, 2]
    assert train.counts.tolist() == [90 - n_test, 4]
    assert not set(train.rows.tolist()) & set(test.rows.tolist())
    assert train.image(0).shape == (12, 16, 3)
    # The split is the set's own: it comes out the same in every run.
    np.testing.assert_array_equal(test.rows, load(name, tmp_path, TEST).rows)


def put_cubs(put: Put, labels: str = "1 1\n2 2\n3 2\n") -> None:
    root = "CUB_200_2011"
    put(f"{root}/images.txt", text="1 001.Albatross/a.jpg\n2 002.Auk/b.jpg\n3 002.Auk/c d.jpg\n")
    put(f"{root}/image_class_labels.txt", text=labels)
    put(f"{root}/train_test_split.txt", text="1 1\n2 0\n3 1\n")
    put(f"{root}/classes.txt", text="1 001.Albatross\n2 002.Auk\n")
    put(*(f"{root}/images/{name}" for name in ("001.Albatross/a.jpg", "002.Auk/b.jpg", "002.Auk/c d.jpg")))


def test_cubs_follows_its_own_split(put: Put, tmp_path: Path) -> None:
    put_cubs(put)
    train, test = load("cubs200", tmp_path, TRAIN), load("cubs200", tmp_path, TEST)
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1], [1])
    assert train.classes == ("001.Albatross", "002.Auk")
    assert train.images[1] == (tmp_path / "CUB_200_2011/images/002.Auk/c d.jpg").read_bytes()


@pytest.mark.parametrize(("labels", "message"), [("1 1\n2 2\n", "image 3 is not in each"), ("x 1\n", "start with a number")])
def test_cubs_with_broken_lists_is_refused(labels: str, message: str, put: Put, tmp_path: Path) -> None:
    put_cubs(put, labels)
    with pytest.raises(InvalidInputError, match=message):
        load("cubs200", tmp_path, TRAIN)


def test_cubs_with_an_unknown_class_is_refused(put: Put, tmp_path: Path) -> None:
    put_cubs(put, "1 1\n2 2\n3 9\n")
    with pytest.raises(InvalidInputError, match=r"class 9.*classes\.txt"):
        load("cubs200", tmp_path, TRAIN)


def test_list_that_leads_out_of_the_folder_is_refused(put: Put, tmp_path: Path) -> None:
    put_cubs(put)
    put("CUB_200_2011/images.txt", text="1 ../../secret.jpg\n2 002.Auk/b.jpg\n3 002.Auk/c d.jpg\n")
    with pytest.raises(InvalidInputError, match="leads out"):
        load("cubs200", tmp_path, TRAIN)


def test_diabetic_keeps_both_eyes_of_a_patient_on_one_side(put: Put, tmp_path: Path) -> None:
    root = "diabetic-retinopathy-detection"
    eyes = [f"{patient}_{eye}" for patient in range(40) for eye in ("left", "right")]
    put(f"{root}/trainLabels.csv", text="image,level\n" + "".join(f"{e},{i % 5}\n" for i, e in enumerate(eyes[:60])))
    put(
        f"{root}/retinopathy_solution.csv",
        text="image,level,Usage\n" + "".join(f"{e},{i % 2},Public\n" for i, e in enumerate(eyes[60:])),
    )
    put(*(f"{root}/train/{e}.jpeg" for e in eyes[:60]), *(f"{root}/test/{e}.jpeg" for e in eyes[60:]))
    train, test = load("diabetic5", tmp_path, TRAIN), load("diabetic5", tmp_path, TEST)
    assert len(train) + len(test) == 80
    assert 10 <= len(test) <= 22
    assert not set(train.groups.tolist()) & set(test.groups.tolist())
    assert train.n_classes == 5
    assert train.pixels(8).shape == (len(train), 8, 8, 3)


def test_diabetic_grade_that_is_no_number_is_named(put: Put, tmp_path: Path) -> None:
    put("trainLabels.csv", text="image,level\n1_left,mild\n")
    with pytest.raises(InvalidInputError, match="'level' must hold whole numbers"):
        load("diabetic5", tmp_path, TRAIN)


HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"


@pytest.mark.parametrize(
    ("train", "test", "table"),
    [
        ("GTSRB/Final_Training/Images", "GTSRB/Final_Test/Images", "GTSRB/Final_Test/Images/GT-final_test.csv"),
        ("gtsrb/GTSRB/Training", "gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv"),
    ],
)
def test_gtsrb_reads_the_official_and_torchvisions_layout(train: str, test: str, table: str, put: Put, tmp_path: Path) -> None:
    for label in (0, 42):
        frames = [f"{track:05}_{frame:05}.ppm" for track in range(2) for frame in range(3)]
        put(f"{train}/{label:05}/GT-{label:05}.csv", text=HEAD + "".join(f"{f};16;12;1;1;9;9;{label}\n" for f in frames))
        put(*(f"{train}/{label:05}/{f}" for f in frames))
    put(f"{test}/00000.ppm", f"{test}/00001.ppm")
    put(table, text=HEAD + "00000.ppm;16;12;1;1;9;9;7\n00001.ppm;16;12;1;1;9;9;42\n")
    found = load("gtsrb", tmp_path, TRAIN)
    assert found.counts[[0, 42]].tolist() == [6, 6]
    assert found.n_classes == 43
    assert [len(set(found.groups[i : i + 3].tolist())) for i in (0, 3, 6, 9)] == [1] * 4
    assert len(set(found.groups.tolist())) == 4
    tested = load("gtsrb", tmp_path, TEST)
    assert tested.labels.tolist() == [7, 42]
    assert tested.image(1).shape == (12, 16, 3)


def test_gtsrb_without_its_test_table_says_which_archive_has_it(put: Put, tmp_path: Path) -> None:
    put("GTSRB/Final_Test/Images/00000.ppm")
    with pytest.raises(InvalidInputError, match=r"GTSRB_Final_Test_GT\.zip"):
        load("gtsrb", tmp_path, TEST)
    with pytest.raises(InvalidInputError, match="no training tables"):
        load("gtsrb", tmp_path, TRAIN)


def put_cifar(tmp_path: Path) -> np.ndarray:
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    data = np.random.default_rng(0).integers(0, 256, (6, 2, 3072), dtype=np.uint8)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        content = {b"batch_label": b"a batch", b"labels": [i, 9], b"data": data[i], b"filenames": [b"a.png", b"b.png"]}
        (root / name).write_bytes(python2_pickle(content))
    (root / "batches.meta").write_bytes(python2_pickle({b"label_names": [f"c{i}".encode() for i in range(10)], b"num_vis": 3072}))
    return data


def test_cifar_batches_become_rgb_images(tmp_path: Path) -> None:
    data = put_cifar(tmp_path)
    train = load("cifar10", tmp_path, TRAIN)
    assert train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    np.testing.assert_array_equal(train.image(3), data[1, 1].reshape(3, 32, 32).transpose(1, 2, 0))
    assert load("cifar10", tmp_path, TEST).classes[5] == "c5"


class Payload:
    """What a hostile pickle holds: a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_cifar_pickle_that_calls_something_is_refused_and_not_run(tmp_path: Path) -> None:
    put_cifar(tmp_path)
    target = tmp_path / "cifar-10-batches-py" / "test_batch"
    target.write_bytes(pickle.dumps({b"data": Payload(tmp_path / "owned")}))
    with pytest.raises(InvalidInputError, match="which no CIFAR-10 file does"):
        load("cifar10", tmp_path, TEST)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({b"labels": [1]}), pickle.dumps([1])])
def test_broken_cifar_batch_is_named(content: bytes, tmp_path: Path) -> None:
    put_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(InvalidInputError, match="test_batch"):
        load("cifar10", tmp_path, TEST)


def test_imagenet_reads_the_archive_with_its_tables(put: Put, tmp_path: Path) -> None:
    data = "ILSVRC/Data/CLS-LOC"
    put(*(f"{data}/train/{w}/{w}_{i}.JPEG" for w in ("n01440764", "n02085620") for i in range(2)))
    put(f"{data}/val/ILSVRC2012_val_00000001.JPEG")
    put("LOC_val_solution.csv", text="ImageId,PredictionString\nILSVRC2012_val_00000001,n02085620 1 2 3 4 n02085620 5 6 7 8\n")
    put("LOC_synset_mapping.txt", text="n01440764 tench, Tinca tinca\nn02085620 Chihuahua\n")
    train = load("imagenet", tmp_path, TRAIN)
    assert train.classes == ("n01440764 tench", "n02085620 Chihuahua")
    assert train.labels.tolist() == [0, 0, 1, 1]
    test = load("imagenet", tmp_path, TEST)
    assert test.labels.tolist() == [1]
    assert test.image(0).shape == (12, 16, 3)


def test_imagenet_reads_validation_folders_and_does_without_names(put: Put, tmp_path: Path) -> None:
    put("imagenet/train/n01440764/a.JPEG", "imagenet/train/n02085620/b.JPEG")
    put("imagenet/val/n01440764/c.JPEG", "imagenet/val/n02085620/d.JPEG")
    assert load("imagenet", tmp_path, TEST).classes == ("n01440764", "n02085620")


def test_tiny_imagenet_reads_folders_and_annotations(put: Put, tmp_path: Path) -> None:
    root = "tiny-imagenet-200"
    put(f"{root}/wnids.txt", text="n02085620\nn01443537\n")
    put(f"{root}/words.txt", text="n01443537\tgoldfish, Carassius auratus\nn02085620\tChihuahua\n")
    put(*(f"{root}/train/{w}/images/{w}_{i}.JPEG" for w in ("n01443537", "n02085620") for i in range(2)))
    put(f"{root}/val/images/val_0.JPEG", f"{root}/val/images/val_1.JPEG")
    put(f"{root}/val/val_annotations.txt", text="val_0.JPEG\tn02085620\t0\t0\t9\t9\nval_1.JPEG\tn01443537\t0\t0\t9\t9\n")
    train = load("tiny-imagenet-200", tmp_path, TRAIN)
    assert train.classes == ("n01443537 goldfish", "n02085620 Chihuahua")
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert load("tiny-imagenet-200", tmp_path, TEST).labels.tolist() == [1, 0]


def test_samples_are_one_image_a_class(put: Put, tmp_path: Path) -> None:
    put("imagenet-sample-images/n01440764_tench.JPEG", "imagenet-sample-images/n01443537_goldfish.JPEG")
    put("imagenet-sample-images/README.md", text="samples")
    found = load("imagenet-samples-1000", tmp_path, TEST)
    assert found.classes == ("n01440764_tench", "n01443537_goldfish")
    assert found.labels.tolist() == [0, 1]


def test_openimages_is_an_unlabelled_pool(put: Put, tmp_path: Path) -> None:
    put("open-images/test/000002b66c9c498e.jpg", "open-images/test/000045257f66b9e2.jpg")
    found = load("openimages", tmp_path, TEST)
    assert found.labels.tolist() == [UNLABELLED] * 2
    assert found.pixels(8).shape == (2, 8, 8, 3)
    assert len(found.sample(1, seed=0)) == 1


def test_image_folder_keeps_class_numbers_between_splits(put: Put, tmp_path: Path) -> None:
    put("train/ant/a.png", "train/bee/b.png", "train/cat/c.png", "val/ant/d.png", "val/cat/e.png")
    assert load("image-folder", tmp_path, TRAIN).classes == ("ant", "bee", "cat")
    assert load("image-folder", tmp_path, TEST).labels.tolist() == [0, 2]


def test_image_folder_with_a_class_that_was_never_trained_is_refused(put: Put, tmp_path: Path) -> None:
    put("train/ant/a.png", "test/eel/d.png")
    with pytest.raises(InvalidInputError, match="eel"):
        load("image-folder", tmp_path, TEST)


def test_file_that_vanished_is_named_when_it_is_read(put: Put, tmp_path: Path) -> None:
    put_cubs(put)
    found = load("cubs200", tmp_path, TEST)
    (tmp_path / "CUB_200_2011/images/002.Auk/b.jpg").unlink()
    with pytest.raises(InvalidInputError, match=r"b\.jpg cannot be read"):
        found.image(0)
