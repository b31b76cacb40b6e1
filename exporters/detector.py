"""A bundle cut down to its detectors: the graph that leads to the scores, and no more."""

from hashlib import sha256

import onnx

from exporters.graph import graph_bytes
from exporters.repository import SCORES
from exporters.rewrite import prune
from guard.bundle import Bundle
from guard.errors import ExportError


def detector_bundle(bundle: Bundle) -> Bundle:
    """Return the same bundle with a graph whose only output is `scores`; ExportError if the graph gives none.

    For a gateway in front of the plain model, which computes the scores itself: what only the probabilities need, such as
    the classifier's last layer, does not lie there. Detectors that read logits or probabilities keep what they read.
    """
    model = onnx.load_model_from_string(bundle.model)
    kept = [output for output in model.graph.output if output.name == SCORES]
    if not kept:
        names = [output.name for output in model.graph.output]
        raise ExportError(f"the bundle's model has no output {SCORES!r}, only {names}; make it with `knockguard protect`")
    del model.graph.output[:]
    model.graph.output.extend(kept)
    prune(model.graph)
    content = graph_bytes(model)
    return Bundle(bundle.manifest.model_copy(update={"sha256": sha256(content).hexdigest()}), content)
