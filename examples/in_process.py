"""Guard a model inside a Python server of your own: `python examples/in_process.py bundle image.png ...`.

No gateway: a bundle, ONNX Runtime, and the guard between the model's answer and yours. Needs no extras.
"""

import sys
from pathlib import Path

import numpy as np

from guard.bundle import load_bundle
from guard.guard import Decision, Guard
from guard.images import decode
from guard.policies.observe import Observe
from guard.preprocess import framed, image_size, to_inputs
from guard.quiet_runtime import ort
from guard.types import ApplyTo, Pixels


class GuardedModel:
    """A bundle's model with its guard; `answer` is what your request handler calls."""

    def __init__(self, folder: Path) -> None:
        bundle = load_bundle(folder)
        self.manifest = bundle.manifest
        self._session = ort.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
        # Another policy, such as Shuffle(), takes `secret=Secret.read(path)`.
        self._guard = Guard(bundle.manifest, Observe(), apply_to=ApplyTo.FLAGGED)

    def answer(self, pixels: Pixels) -> Decision:
        """Return answers and flags for (n, h, w, 3) uint8 images of the model's own size."""
        inputs = to_inputs(pixels, self.manifest.input)
        names = [self.manifest.output, "scores"]
        probabilities, scores = self._session.run(names, {self.manifest.input.name: inputs})
        return self._guard.decide(probabilities, scores, self._guard.keys(inputs))


def main(arguments: list[str]) -> int:
    """Print the label and the flag of each image."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    model = GuardedModel(Path(arguments[0]))
    size = image_size(model.manifest.input)
    images = [framed(decode(Path(name).read_bytes(), name=name), size) for name in arguments[1:]]
    decision = model.answer(np.stack(images))
    for name, row, flagged in zip(arguments[1:], decision.answers, decision.flagged, strict=True):
        print(f"{name}: {model.manifest.labels[int(row.argmax())]} {row.max():.3f}{' flagged' if flagged else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
