"""Data sets in miniature, as Parquet files of the names and the form that published ones have."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from miniature import discs, stripes
from PIL import Image

from guard.types import Ints, Pixels

WNIDS = ["n01443537", "n01641577", "n02666196", "n02795169"]


def put(images: Pixels, labels: Ints, path: Path, classes: list[str]) -> None:
    rows = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="JPEG", quality=85)
        rows.append({"bytes": file.getvalue(), "path": None})
    named = {"info": {"features": {"label": {"names": classes}}}}
    table = pa.table({"image": rows, "label": labels}).replace_schema_metadata({"huggingface": json.dumps(named)})
    pq.write_table(table, path)


def write_sets(folder: Path, *, n_train: int, n_test: int) -> None:
    """Write discs of three colours as the victim's set, and stripes of classes with WordNet ids as two public ones."""
    colours = ["red", "green", "blue"]
    put(*discs(n_train, seed=0, side=32), folder / "cifar10-train.parquet", colours)
    put(*discs(n_test, seed=1, side=32), folder / "cifar10-test.parquet", colours)
    put(stripes(400, seed=2, side=64), np.arange(400) % 4, folder / "tiny-imagenet-200.parquet", WNIDS)
    put(stripes(60, seed=3, side=64), np.arange(60) % 4, folder / "imagenet-samples-1000.parquet", WNIDS)
