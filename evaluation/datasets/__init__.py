"""Image sets: read from Parquet or from the layout their authors publish, decoded on use."""

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.image_set import UNLABELLED, Images, ImageSet, image_set
from evaluation.datasets.loading import load
from evaluation.datasets.registry import DATASETS

__all__ = ["DATASETS", "UNLABELLED", "Dataset", "ImageSet", "Images", "Split", "image_set", "load"]
