"""The model's input: one image, whichever way it is sent, and a sentence for what cannot be one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_api.converters import Tensor
from grpc_api.inputs import checked_input, claimed_bytes
from grpc_api.inputs import model_input as read
from guard.bundle import InputSpec
from guard.errors import InvalidInputError

LAYOUTS = st.sampled_from(["NCHW", "NHWC"])


def spec(layout: str, height: int = 2, width: int = 4) -> InputSpec:
    shape = (3, height, width) if layout == "NCHW" else (height, width, 3)
    return InputSpec(name="image", shape=shape, layout=layout, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def sent(values: np.ndarray, datatype: str = "UINT8") -> list[Tensor]:
    return [Tensor("image", datatype, values.shape, lambda: values)]


def model_input(tensors: list[Tensor], spec: InputSpec, *, max_rows: int) -> np.ndarray:
    inputs = read(checked_input(tensors, spec, max_rows=max_rows), spec)
    assert inputs.nbytes == claimed_bytes(tensors, spec, max_rows=max_rows)
    return inputs


def never() -> np.ndarray:
    raise AssertionError("values were read before the claim was checked")


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [
        ("pixels", "FP32", (1, 3, 2, 4)),
        ("image", "INT32", (1, 3, 2, 4)),
        ("image", "FP32", (1, 3, 2000, 4000)),
        ("image", "UINT8", (9, 3, 2, 4)),
    ],
)
def test_claim_that_does_not_fit_is_refused_before_a_value_is_read(name: str, datatype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError):
        checked_input([Tensor(name, datatype, shape, never)], spec("NCHW"), max_rows=8)


@given(LAYOUTS, st.integers(0, 3), st.integers(0, 99))
def test_grey_levels_in_either_layout_are_what_the_graph_takes(layout: str, n: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 2, 4, 3), dtype=np.uint8)
    expected = (pixels / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.2, 0.25, 0.3])
    if layout == "NCHW":
        expected = np.moveaxis(expected, 3, 1)
    last = model_input(sent(pixels), spec(layout), max_rows=8)
    first = model_input(sent(np.ascontiguousarray(np.moveaxis(pixels, 3, 1))), spec(layout), max_rows=8)
    np.testing.assert_allclose(last, expected, atol=1e-5)
    np.testing.assert_array_equal(first, last)
    assert last.dtype == first.dtype == np.float32
    assert last.flags.c_contiguous


@given(LAYOUTS, st.integers(0, 99))
def test_shape_that_could_be_either_layout_is_read_as_the_graphs(layout: str, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 3, 3, 3), dtype=np.uint8)
    plain = InputSpec(name="image", shape=(3, 3, 3), layout=layout, scale=1.0)
    np.testing.assert_array_equal(model_input(sent(pixels), plain, max_rows=1), pixels.astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_refused(value: float) -> None:
    images = np.zeros((2, 3, 2, 4), np.float32)
    images[1, 2, 1, 3] = value
    with pytest.raises(InvalidInputError, match="not finite"):
        model_input(sent(images, "FP32"), spec("NCHW"), max_rows=2)


def test_float_image_in_the_other_layout_is_refused_not_guessed_at() -> None:
    with pytest.raises(InvalidInputError, match=r"FP32 must have shape \[-1, 3, 2, 4\]"):
        model_input(sent(np.zeros((1, 2, 4, 3), np.float32), "FP32"), spec("NCHW"), max_rows=1)


@pytest.mark.parametrize("shape", [(), (3,), (3, 2, 4), (1, 1, 3, 2, 4)])
def test_image_of_another_rank_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="must have shape"):
        model_input(sent(np.zeros(shape, np.uint8)), spec("NCHW"), max_rows=1)
