"""Statistics that know nothing of what an image shows, and what a baseline reads that a detector must beat.

Sharpness, noise and traces of JPEG tell two sets of files apart without a look at their content, and an adversary changes them at
no cost. What these give away, a detector may have flagged for the same bad reason; only the margin over it is content.
"""

from itertools import pairwise

import numpy as np

from guard.types import Floats, Pixels

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BANDS = (0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8)  # edges, in cycles a pixel; the last reaches into the corners
_BLOCK = 8  # of JPEG
_AT_ONCE = 256  # an image takes sixteen times its own memory, or 3 MB at 224 pixels
_FLOOR = 1.0  # grey levels: below it a picture is flat, whatever the ratio says


def statistics(pixels: Pixels) -> Floats:
    """Return (n, 15) float32: spectrum, its slopes, and traces, all of the grey image; none knows a colour or a place."""
    parts = [_statistics(pixels[start : start + _AT_ONCE]) for start in range(0, len(pixels), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty((0, 15), np.float32)


def _statistics(pixels: Pixels) -> Floats:
    grey = pixels.astype(np.float32) @ _LUMA
    spectrum = _spectrum(grey)
    return np.concatenate([spectrum, np.diff(spectrum, axis=1), _blockiness(grey), _residual(grey)], axis=1)


def _spectrum(grey: Floats) -> Floats:
    """Log power in bands of frequency (n, 6), under a window that keeps the borders out."""
    height, width = grey.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    power = np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2 / (height * width)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    bands = [power[:, (radius >= low) & (radius < high)].mean(axis=1) for low, high in pairwise(_BANDS)]
    return np.log(np.stack(bands, axis=1) + _FLOOR).astype(np.float32)


def _blockiness(grey: Floats) -> Floats:
    """Steps across JPEG's block borders over steps elsewhere, rows and columns (n, 2)."""
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=3 - axis)
        ratios.append((steps[:, _BLOCK - 1 :: _BLOCK].mean(axis=1) + _FLOOR) / (steps.mean(axis=1) + _FLOOR))
    return np.stack(ratios, axis=1).astype(np.float32)


def _residual(grey: Floats) -> Floats:
    """What four neighbours do not foretell (n, 2): log of its deviation, and of deviation over mean size (its peakedness)."""
    centre = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    left = centre - around / 4
    deviation, size = left.std(axis=(1, 2)), np.abs(left).mean(axis=(1, 2))
    return np.stack([np.log(deviation + _FLOOR), np.log((deviation + _FLOOR) / (size + _FLOOR))], axis=1).astype(np.float32)
