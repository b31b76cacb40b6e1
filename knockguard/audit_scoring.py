"""What a bundle says of images: how far above its threshold each detector's score lies, and the features of its last stage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper

from exporters.fuse import RENAMED
from exporters.runtime import run
from guard.bundle import Bundle
from guard.calibration import Threshold
from guard.preprocess import image_size, to_inputs
from guard.types import Floats, Ints, Pixels, Reporter

_FEATURES = "knockguard_audit_features"
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Scored:
    """n images: score less threshold by detector, (n,) float32, above 0 is flagged; the class ranked first; features (n, d).

    The threshold is taken off since it may be one of each class; `zero` then flags what the guard flags.
    """

    excess: dict[str, Floats]
    top: Ints
    features: Floats | None

    def after(self, n: int) -> "Scored":
        """Return what is said of the images after the first n."""
        excess = {name: found[n:] for name, found in self.excess.items()}
        return Scored(excess, self.top[n:], None if self.features is None else self.features[n:])


def zero(threshold: Threshold) -> Threshold:
    """Return the threshold of an excess: 0, with what was promised of the score's own."""
    return replace(threshold, value=0.0, per_class=None)


class Scorer:
    """Runs the fused graph that is served, with the pooled last stage beside it where the graph has one of channels by place."""

    def __init__(self, bundle: Bundle) -> None:
        self._manifest = bundle.manifest
        self._model, self._has_features = _with_features(bundle)

    def __call__(self, pixels: Pixels, *, progress: Reporter | None = None) -> Scored:
        """Return what the bundle says of (n, h, w, 3) images at the model's size."""
        names = ("scores", self._manifest.output, *([_FEATURES] if self._has_features else []))
        heard = None if progress is None else lambda done, _: progress(done, len(pixels))
        found = run(self._model, self._batches(pixels), outputs=names, progress=heard)
        top = found[self._manifest.output].argmax(axis=1)
        excess = {d.name: found["scores"][:, i] - d.threshold.of(top) for i, d in enumerate(self._manifest.detectors)}
        return Scored(excess, top, found.get(_FEATURES))

    def _batches(self, pixels: Pixels) -> Iterator[Floats]:
        return (to_inputs(pixels[i : i + _AT_ONCE], self._manifest.input) for i in range(0, len(pixels), _AT_ONCE))


def _with_features(bundle: Bundle) -> tuple[bytes, bool]:
    """Return the model with its deepest stage, averaged over places, as a further output; as it is where that cannot be."""
    deepest = list(bundle.manifest.provenance.stages.values())[-1:]
    model = onnx.load_model_from_string(bundle.model)
    made = {name for node in model.graph.node for name in node.output}
    # What was an output of the victim's file has been given another name, so as not to be one of the fused graph's.
    stages = [name for tensor in deepest for name in (tensor, f"{RENAMED}{tensor}") if name in made]
    if not stages:
        return bundle.model, False
    model.graph.output.append(helper.make_empty_tensor_value_info(stages[-1]))
    one = to_inputs(np.zeros((1, *image_size(bundle.manifest.input), 3), np.uint8), bundle.manifest.input)
    shape = run(model.SerializeToString(), one, outputs=(stages[-1],))[stages[-1]].shape
    del model.graph.output[-1]
    if len(shape) != 4 or bundle.manifest.input.layout != "NCHW":
        return bundle.model, False
    model.graph.node.append(helper.make_node("GlobalAveragePool", [stages[-1]], [f"{_FEATURES}_pooled"]))
    model.graph.node.append(helper.make_node("Flatten", [f"{_FEATURES}_pooled"], [_FEATURES]))
    model.graph.output.append(helper.make_tensor_value_info(_FEATURES, onnx.TensorProto.FLOAT, ["n", shape[1]]))
    return model.SerializeToString(), True
