"""Sets that Hugging Face's `datasets` and torchvision hold become image sets: same pixels, labels, names; nothing is fetched."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

from evaluation.datasets import Split, load
from evaluation.interop.image_sets import from_hugging_face, from_torchvision
from guard.errors import InvalidInputError
from guard.images import read

CLASSES = ("ant", "bee")


@pytest.fixture(scope="module")
def datasets() -> ModuleType:
    # By a module of its own: `tests/evaluation/datasets`, a folder on the path, passes for a package of that name.
    pytest.importorskip("datasets.arrow_dataset", reason="datasets is not installed; the interop extra brings it")
    import datasets as found

    found.disable_progress_bars()
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return train/ and test/, two classes each, three and two images."""
    root, rng = tmp_path_factory.mktemp("tree"), np.random.default_rng(0)
    for split, n in (("train", 3), ("test", 2)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(root / split / name / f"{i}.png")
    return root


def pixels_of(tree: Path, split: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted((tree / split).rglob("*.png"))]


def test_image_folder_is_the_set_that_torchvision_reads(tree: Path) -> None:
    found = from_torchvision(ImageFolder(str(tree / "train")), name="insects")
    assert (found.classes, found.labels.tolist()) == (CLASSES, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(found.decoded(), pixels_of(tree, "train"))
    registered = load("image-folder", tree)
    assert registered.labels.tolist() == found.labels.tolist()
    np.testing.assert_array_equal(registered.decoded(), found.decoded())


def test_set_that_transforms_is_refused(tree: Path) -> None:
    with pytest.raises(InvalidInputError, match="insects has a transform; make the data set without one"):
        from_torchvision(ImageFolder(str(tree / "train"), transform=ToTensor()), name="insects")


def test_set_that_decodes_itself_is_read_by_its_rows() -> None:
    class Grey:
        """What torchvision's MNIST looks like from outside."""

        classes = ("zero", "one")
        targets = (1, 0)

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            return Image.fromarray(np.full((4, 4), 10 * row, np.uint8)), self.targets[row]

    found = from_torchvision(Grey(), name="grey")
    assert (found.labels.tolist(), found.image(1).shape, found.image(1).max()) == ([1, 0], (4, 4, 3), 10)


def test_dataset_from_a_folder_keeps_pixels_labels_and_names(datasets: ModuleType, tree: Path, tmp_path: Path) -> None:
    given = datasets.load_dataset("imagefolder", data_dir=str(tree), cache_dir=str(tmp_path))["train"]
    found = from_hugging_face(given, name="insects")
    assert (found.classes, found.labels.tolist()) == (CLASSES, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(found.decoded(), pixels_of(tree, "train"))
    shuffled = from_hugging_face(given.shuffle(seed=1).select(range(4)).with_format("torch"), name="insects")
    assert shuffled.labels.tolist() == given.shuffle(seed=1)["label"][:4]


def test_dataset_without_labels_is_an_unlabelled_set(datasets: ModuleType) -> None:
    given = datasets.Dataset.from_dict({"picture": [Image.new("RGB", (4, 4))] * 2, "note": ["a", "b"]})
    found = from_hugging_face(given, name="plain")
    assert (found.labels.tolist(), found.n_classes, found.image(0).shape) == ([-1, -1], 0, (4, 4, 3))
    with pytest.raises(InvalidInputError, match="plain has no column of images; it has note"):
        from_hugging_face(given.remove_columns("picture"), name="plain")
    with pytest.raises(InvalidInputError, match="plain is a DatasetDict; give one split of it"):
        from_hugging_face(datasets.DatasetDict(train=given), name="plain")


def test_saved_dataset_is_a_registered_set_and_a_source_of_images(datasets: ModuleType, tree: Path, tmp_path: Path) -> None:
    given = datasets.load_dataset("imagefolder", data_dir=str(tree), cache_dir=str(tmp_path / "cache"))
    given.save_to_disk(str(tmp_path / "hugging-face"))
    for split in Split:
        found = load("hugging-face", tmp_path, split)
        assert (found.classes, found.labels.tolist()) == (CLASSES, given[split]["label"])
        np.testing.assert_array_equal(found.decoded(), pixels_of(tree, split))
    images = list(read(tmp_path / "hugging-face" / "test"))  # what --in, --pool and --test take
    assert [item.label for item in images] == ["0", "0", "1", "1"]


def test_splits_go_by_other_names_and_a_missing_one_is_told(datasets: ModuleType, tree: Path, tmp_path: Path) -> None:
    given = datasets.load_dataset("imagefolder", data_dir=str(tree), cache_dir=str(tmp_path / "cache"))
    datasets.DatasetDict(validation=given["test"]).save_to_disk(str(tmp_path / "hugging-face"))
    assert len(load("hugging-face", tmp_path, Split.TEST)) == 4
    with pytest.raises(InvalidInputError, match="none of the splits train"):
        load("hugging-face", tmp_path, Split.TRAIN)
