"""From an image of any size to what the graph takes: one way for fitting, calibration, serving and attacks."""

import numpy as np

from guard.bundle import InputSpec
from guard.images import cropped, resize
from guard.types import Array, Floats, Pixels


def to_inputs(pixels: Array, spec: InputSpec) -> Floats:
    """Return (n, ...) float32 in the graph's layout from (n, h, w, c) uint8: (level * scale - mean) / std."""
    levels = pixels if spec.layout == "NHWC" else np.moveaxis(pixels, 3, 1)
    inputs = np.multiply(levels, np.float32(spec.scale), dtype=np.float32, order="C")
    if any(spec.mean) or any(s != 1 for s in spec.std):
        shape = (1, 1, 1, -1) if spec.layout == "NHWC" else (1, -1, 1, 1)
        inputs -= np.asarray(spec.mean, np.float32).reshape(shape)
        inputs /= np.asarray(spec.std, np.float32).reshape(shape)
    return inputs


def framed(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return one (h, w, 3) image at the model's (height, width): its largest centred part of that shape, then `resize`.

    An image that has the size already is left as it is.
    """
    return resize(cropped(image, size), size)


def image_size(spec: InputSpec) -> tuple[int, int]:
    """Return the model's (height, width)."""
    return spec.shape[:2] if spec.layout == "NHWC" else spec.shape[1:]  # type: ignore[return-value]  # three by its check
