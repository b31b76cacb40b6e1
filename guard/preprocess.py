"""From grey levels to what the graph takes: one function for fitting, calibration, serving and attacks."""

import numpy as np

from guard.bundle import InputSpec
from guard.types import Array, Floats


def to_inputs(pixels: Array, spec: InputSpec) -> Floats:
    """Return (n, ...) float32 in the graph's layout from (n, h, w, c) uint8: (level * scale - mean) / std."""
    levels = pixels if spec.layout == "NHWC" else np.moveaxis(pixels, 3, 1)
    inputs = np.multiply(levels, np.float32(spec.scale), dtype=np.float32, order="C")
    if any(spec.mean) or any(s != 1 for s in spec.std):
        shape = (1, 1, 1, -1) if spec.layout == "NHWC" else (1, -1, 1, 1)
        inputs -= np.asarray(spec.mean, np.float32).reshape(shape)
        inputs /= np.asarray(spec.std, np.float32).reshape(shape)
    return inputs


def image_size(spec: InputSpec) -> tuple[int, int]:
    """Return the model's (height, width)."""
    return spec.shape[:2] if spec.layout == "NHWC" else spec.shape[1:]  # type: ignore[return-value]  # three by its check
