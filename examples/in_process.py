"""Guard a model inside a Python server of your own: `python examples/in_process.py bundle image.png ...`.

No gateway: a bundle, ONNX Runtime, and the guard between the model's answer and yours. Needs no extras.
"""

import sys
from pathlib import Path

import numpy as np

from guard.bundle import load_bundle
from guard.guard import Guard
from guard.images import decode
from guard.preprocess import framed, image_size, to_inputs
from guard.quiet_runtime import ort
from guard.secret import Secret
from guard.types import Floats, Pixels


class GuardedModel:
    """A bundle's model with its guard; `answer` is what your request handler calls."""

    def __init__(self, folder: Path, secret_file: Path | None = None) -> None:
        """Guard as the bundle says; a policy such as shuffle needs the file that `knockguard secret` writes."""
        bundle = load_bundle(folder)
        self.manifest = bundle.manifest
        self._session = ort.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
        self._guard = Guard.of(bundle.manifest, secret=None if secret_file is None else Secret.read(secret_file))

    def answer(self, pixels: Pixels) -> Floats:
        """Return what the client gets, (n, k), for (n, h, w, 3) uint8 images of the model's own size."""
        inputs = to_inputs(pixels, self.manifest.input)
        probabilities, scores = self._session.run(["probabilities", "scores"], {self.manifest.input.name: inputs})
        return self._guard.answer(inputs, probabilities, scores)


def main(arguments: list[str]) -> int:
    """Print the label that each image gets."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    model = GuardedModel(Path(arguments[0]))
    size = image_size(model.manifest.input)
    images = [framed(decode(Path(name).read_bytes(), name=name), size) for name in arguments[1:]]
    for name, row in zip(arguments[1:], model.answer(np.stack(images)), strict=True):
        print(f"{name}: {model.manifest.labels[int(row.argmax())]} {row.max():.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
