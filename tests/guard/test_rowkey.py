"""Row keys: one image, one key, however it was sent."""

import numpy as np
import pytest

from guard.bundle import InputSpec
from guard.preprocess import to_inputs
from guard.rowkey import canonical, row_keys
from guard.secret import Secret

SECRET = Secret(bytes(32), "id")
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
SPECS = {
    "unit": InputSpec(name="x", shape=(3, 8, 8), layout="NCHW", scale=1 / 255),
    "levels": InputSpec(name="x", shape=(3, 8, 8), layout="NCHW", scale=1.0),
    "imagenet": InputSpec(
        name="x", shape=(3, 8, 8), layout="NCHW", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "nhwc": InputSpec(name="x", shape=(8, 8, 3), layout="NHWC", scale=1 / 255),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_canonical_input_is_the_pixels_that_it_came_from(spec: InputSpec) -> None:
    grid = canonical(to_inputs(PIXELS, spec), spec=spec)
    np.testing.assert_array_equal(grid if spec.layout == "NHWC" else np.moveaxis(grid, 1, 3), PIXELS)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_float_noise_below_half_a_grey_level_keeps_the_key(spec: InputSpec) -> None:
    inputs = to_inputs(PIXELS, spec)
    noise = np.random.default_rng(1).uniform(-0.4, 0.4, inputs.shape) * spec.scale / max(spec.std)
    noisy = (inputs + noise).astype(np.float32)
    assert row_keys(inputs, spec=spec, context="m/1", secret=SECRET) == row_keys(noisy, spec=spec, context="m/1", secret=SECRET)


def test_keys_depend_on_pixel_model_secret_and_shape() -> None:
    spec = SPECS["unit"]
    inputs = to_inputs(PIXELS[:1], spec)
    other = PIXELS[:1].copy()
    other[0, 3, 3, 1] ^= 1
    keys = [
        *row_keys(inputs, spec=spec, context="m/1", secret=SECRET),
        *row_keys(to_inputs(other, spec), spec=spec, context="m/1", secret=SECRET),
        *row_keys(inputs, spec=spec, context="m/2", secret=SECRET),
        *row_keys(inputs, spec=spec, context="m/1", secret=Secret(b"1" * 32, "id")),
        *row_keys(inputs.reshape(1, 3, 4, 16), spec=spec, context="m/1", secret=SECRET),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(k) for k in keys} == {32}


def test_values_far_outside_a_pixel_clip_and_do_not_wrap() -> None:
    spec = SPECS["unit"]
    far = np.full((1, 3, 8, 8), 1e9, np.float32)
    assert canonical(far, spec=spec).min() == 32767
    assert canonical(-far, spec=spec).max() == -32768
