"""Row keys: HMAC(secret, canonical model input), 32 bytes a row.

Canonical means: what the model sees, back on the grid of grey levels that it came from. A float tensor, its uint8 pixels and a
lossless encoding of them give one key; so do two floats that differ by less than half a grey level. It does not stop
near-duplicates: one changed grey level is another key.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from guard.bundle import InputSpec
from guard.secret import Secret
from guard.types import Floats

_LEVELS = 1 << 15


def row_keys(inputs: Floats, *, spec: InputSpec, context: str, secret: Secret) -> Sequence[bytes]:
    """Return one key for each of (n, ...) float32 inputs in the graph's own layout.

    `context` (model name and version) keeps equal images of two models apart.
    """
    grid = canonical(inputs, spec=spec)
    base = hmac.new(secret.key, digestmod=sha256)
    base.update(f"knockguard row 1\0{context}\0{grid.shape[1:]}\0".encode())
    keys = []
    for row in grid:
        mac = base.copy()
        mac.update(row.data)
        keys.append(mac.digest())
    return keys


def model_key(*, context: str, secret: Secret) -> bytes:
    """Return the 32-byte key that all rows of one model share, apart from every row key."""
    return hmac.digest(secret.key, f"knockguard model 1\0{context}".encode(), sha256)


def canonical(inputs: Floats, *, spec: InputSpec) -> np.ndarray:
    """Return the inputs as little-endian int16 grey levels, the normalisation undone; values far outside a pixel's range clip."""
    axis = 1 if spec.layout == "NCHW" else 3
    shape = [1] * inputs.ndim
    shape[axis] = -1
    std = np.asarray(spec.std, dtype=np.float32).reshape(shape)
    mean = np.asarray(spec.mean, dtype=np.float32).reshape(shape)
    with np.errstate(over="ignore"):  # what becomes infinite is clipped
        levels = np.rint((inputs * std + mean) / np.float32(spec.scale))
    return np.ascontiguousarray(np.clip(levels, -_LEVELS, _LEVELS - 1).astype("<i2"))
