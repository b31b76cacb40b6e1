"""The paper's sets in miniature, in the layouts that their authors publish: a few textures for each class."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from guard.types import Pixels

_HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
WNIDS = ("n01440764", "n02085620", "n02795169", "n04285008")


def texture(kind: int, seed: int, *, side: int = 32) -> Pixels:
    """Return (side, side, 3) stripes whose direction, period and colour tell the kind, and whose phase and noise do not."""
    rng = np.random.default_rng([kind, seed])
    look = np.random.default_rng(kind)
    angle, period, colour = look.uniform(0, np.pi), look.uniform(4, 12), look.uniform(-80, 80, 3)
    y, x = np.mgrid[:side, :side]
    wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + rng.uniform(0, 6))[..., None]
    return (120 + wave * colour + rng.normal(0, 10, (side, side, 3))).clip(0, 255).astype(np.uint8)


def write_paper_sets(data: Path, *, n: int) -> None:
    """Write all of the paper's sets, about `n` training images of each class that is there."""
    _caltech256(data / "256_ObjectCategories", n)
    _cubs200(data / "CUB_200_2011", n)
    _diabetic5(data / "diabetic-retinopathy-detection", n)
    _gtsrb(data / "GTSRB", n)
    _cifar10(data / "cifar-10-batches-py", n)
    for kind, wnid in enumerate(WNIDS):
        for i in range(3 * n):
            _put(data / f"ILSVRC/Data/CLS-LOC/train/{wnid}/{wnid}_{i}.JPEG", 100 + kind, i)
    for i in range(n):
        _put(data / f"open-images/test/{i:016x}.jpg", 200 + i % 7, i)


def _put(path: Path, kind: int, seed: int, *, form: str = "JPEG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(texture(kind, seed)).save(path, format=form)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _caltech256(root: Path, n: int) -> None:
    for kind, name in enumerate(("001.ak47", "002.american-flag", "256.toad")):
        for i in range(n + 25):
            _put(root / name / f"{name[:3]}_{i:04}.jpg", kind, i)


def _cubs200(root: Path, n: int) -> None:
    names = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
    rows = [(kind, name, i) for kind, name in enumerate(names) for i in range(n + 6)]
    for kind, name, i in rows:
        _put(root / "images" / name / f"{i}.jpg", 10 + kind, i)
    _text(root / "classes.txt", "".join(f"{kind + 1} {name}\n" for kind, name in enumerate(names)))
    _text(root / "images.txt", "".join(f"{row} {name}/{i}.jpg\n" for row, (_, name, i) in enumerate(rows, 1)))
    _text(root / "image_class_labels.txt", "".join(f"{row} {kind + 1}\n" for row, (kind, _, _) in enumerate(rows, 1)))
    _text(root / "train_test_split.txt", "".join(f"{row} {int(i < n)}\n" for row, (_, _, i) in enumerate(rows, 1)))


def _diabetic5(root: Path, n: int) -> None:
    """Grades are not balanced: half of all eyes are healthy."""
    grades = [grade for grade in range(5) for _ in range(n * (3 if grade == 0 else 1))]
    eyes = [(f"{patient}_{eye}", grade) for patient, grade in enumerate(grades) for eye in ("left", "right")]
    for i, (eye, grade) in enumerate(eyes):
        _put(root / "train" / f"{eye}.jpeg", 20 + grade, i)
    _text(root / "trainLabels.csv", "image,level\n" + "".join(f"{eye},{grade}\n" for eye, grade in eyes))


def _gtsrb(root: Path, n: int) -> None:
    """Tracks of three frames, in three of the 43 classes."""
    labels = (0, 14, 42)
    for label in labels:
        frames = [f"{i // 3:05}_{i % 3:05}.ppm" for i in range(n)]
        folder = root / f"Final_Training/Images/{label:05}"
        for i, frame in enumerate(frames):
            _put(folder / frame, 30 + label, i, form="PPM")
        _text(folder / f"GT-{label:05}.csv", _HEAD + "".join(f"{frame};32;32;1;1;31;31;{label}\n" for frame in frames))
    tests = [(f"{i:05}.ppm", labels[i % 3]) for i in range(18)]
    for i, (name, label) in enumerate(tests):
        _put(root / "Final_Test/Images" / name, 30 + label, 1000 + i, form="PPM")
    rows = "".join(f"{name};32;32;1;1;31;31;{label}\n" for name, label in tests)
    _text(root / "Final_Test/Images/GT-final_test.csv", _HEAD + rows)


def _cifar10(root: Path, n: int) -> None:
    root.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for number, name in enumerate(names):
        labels = [i % 3 for i in range(18 if name == "test_batch" else 3 * n // 5)]
        images = [texture(80 + label, 100 * number + i) for i, label in enumerate(labels)]
        rows = np.stack([image.transpose(2, 0, 1).ravel() for image in images])
        content = {b"batch_label": name.encode(), b"labels": labels, b"data": rows, b"filenames": [b"x.png"] * len(labels)}
        (root / name).write_bytes(_pickled(content))
    (root / "batches.meta").write_bytes(_pickled({b"label_names": [b"a", b"b", b"c"], b"num_vis": 3072}))


def _pickled(content: object) -> bytes:
    """Name numpy's modules as NumPy 1 did, which made the published batches."""
    return pickle.dumps(content, protocol=3).replace(b"numpy._core", b"numpy.core")
