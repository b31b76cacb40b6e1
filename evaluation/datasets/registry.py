"""The datasets by name. A new one is a file beside this one and a row here."""

from evaluation.datasets.base import Dataset
from guard.registry import Registry

DATASETS: Registry[Dataset] = Registry(
    "dataset",
    Dataset,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "caltech101": "evaluation.datasets.caltech101:Caltech101",
        "caltech256": "evaluation.datasets.caltech256:Caltech256",
        "cifar10": "evaluation.datasets.cifar10:Cifar10",
        "cubs200": "evaluation.datasets.cubs200:Cubs200",
        "diabetic5": "evaluation.datasets.diabetic5:Diabetic5",
        "gtsrb": "evaluation.datasets.gtsrb:Gtsrb",
        "hugging-face": "evaluation.datasets.hugging_face:HuggingFace",
        "image-folder": "evaluation.datasets.image_folder:ImageFolder",
        "imagenet": "evaluation.datasets.imagenet:ImageNet",
        "imagenet-samples-1000": "evaluation.datasets.imagenet_samples:ImageNetSamples",
        "openimages": "evaluation.datasets.openimages:OpenImages",
        "tiny-imagenet-200": "evaluation.datasets.tiny_imagenet:TinyImageNet",
    },
)
