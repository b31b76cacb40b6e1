"""JPEG and PNG files as inputs: the same image has the same answer, every limit holds, and a bad one fails alone."""

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tritonclient.utils import InferenceServerException

from grpc_api.converters import Tensor
from grpc_api.encoded import ImageDecoder, ImageLimits
from guard.bundle import InputSpec
from guard.errors import DeadlineError, InvalidInputError, QuotaExceededError
from guard.images import decode
from guard.preprocess import framed

RNG = np.random.default_rng(0)
SPEC = InputSpec(name="image", shape=(3, 4, 4), layout="NCHW", scale=1 / 255)
LAST = InputSpec(name="image", shape=(4, 4, 3), layout="NHWC", scale=1 / 255)
SMALL = RNG.integers(0, 90, (4, 4, 3), dtype=np.uint8)
LARGE = RNG.integers(0, 90, (20, 30, 3), dtype=np.uint8)


def encode(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind, **options)
    return file.getvalue()


def sent(*files: bytes, columns: int | None = None) -> list[Tensor]:
    values = np.empty(len(files), dtype=object)
    values[:] = files
    shaped = values if columns is None else values.reshape(-1, columns)
    return [Tensor("image", "BYTES", shaped.shape, lambda: shaped)]


def opened(tensors: list[Tensor], spec: InputSpec = SPEC, **limits: int) -> np.ndarray:
    """Return what the decoder makes of one request."""

    async def run(decoder: ImageDecoder) -> np.ndarray:
        (tensor,) = await decoder.open(tensors, spec, max_rows=8)
        assert tensor.datatype == "UINT8"
        return tensor.read()

    return with_decoder(run, **limits)


def with_decoder(run: Callable[[ImageDecoder], Coroutine[Any, Any, Any]], **limits: int) -> Any:
    async def main() -> Any:
        decoder = ImageDecoder(ImageLimits(**limits), threads=2)
        try:
            return await run(decoder)
        finally:
            decoder.close()

    return asyncio.run(main())


def test_lossless_image_of_the_models_size_is_its_pixels_in_the_graphs_layout() -> None:
    np.testing.assert_array_equal(opened(sent(encode(SMALL)), LAST), SMALL[None])
    np.testing.assert_array_equal(opened(sent(encode(SMALL), encode(SMALL[::-1]))), np.moveaxis([SMALL, SMALL[::-1]], 3, 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_image_of_another_size_is_framed_as_the_images_that_calibrated_the_threshold(kind: str) -> None:
    content = encode(LARGE, kind)
    np.testing.assert_array_equal(opened(sent(content), LAST)[0], framed(decode(content), (4, 4)))


def test_tensor_may_have_a_column_or_none_and_rows_or_none() -> None:
    np.testing.assert_array_equal(opened(sent(encode(SMALL), columns=1)), opened(sent(encode(SMALL))))
    assert opened(sent()).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("tensors", "limits", "message"),
    [
        (sent(encode(SMALL), encode(LARGE)), {"max_pixels": 500}, r"row 1 has 30 x 20 pixels; at most 500 .*reduce it"),
        (sent(encode(SMALL), encode(LARGE)), {"max_bytes": 200}, r"row 1 has \d+ bytes; an image may have at most 200"),
        (sent(encode(LARGE), encode(LARGE)), {"max_request_pixels": 1100}, "2 images have 1200 pixels; at most 1100"),
        (sent(encode(SMALL), b"GIF89a", encode(SMALL)), {}, "row 1 is not an image that can be read; known are JPEG, PNG"),
        (sent(encode(SMALL, "GIF")), {}, "row 0 is not an image that can be read; known are JPEG, PNG"),
        (sent(encode(LARGE, "JPEG")[:300]), {}, "row 0 cannot be decoded"),
        (sent(b""), {}, "row 0 is not an image"),
        (sent(*[encode(SMALL)] * 9), {}, "9 rows in one request; at most 8"),
        (sent(*[encode(SMALL)] * 4, columns=2), {}, r"shape \[2, 2\].*must have shape \[-1\] or \[-1, 1\]"),
    ],
)
def test_what_cannot_be_an_input_is_refused_by_row_and_limit(tensors: list[Tensor], limits: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        opened(tensors, **limits)


def test_header_that_claims_more_pixels_than_allowed_is_refused_before_its_pixels_are_read() -> None:
    bomb = bytearray(encode(SMALL))
    bomb[16:24] = (9000).to_bytes(4, "big") * 2  # width and height of IHDR; its checksum no longer holds either
    with pytest.raises(InvalidInputError, match="row 0"):
        opened(sent(bytes(bomb)))
    real = encode(np.zeros((3000, 3000), np.uint8))  # 9 million pixels in 9 kB
    assert len(real) < 12_000
    with pytest.raises(InvalidInputError, match="3000 x 3000 pixels; at most 8000000"):
        opened(sent(real), max_pixels=8_000_000)


def test_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    good = encode(LARGE, "JPEG", progressive=True)
    assert 1 < good.count(b"\xff\xda") < 64
    assert opened(sent(good)).shape == (1, 3, 4, 4)
    with pytest.raises(InvalidInputError, match=r"row 0 has \d+ scans; at most 64"):
        opened(sent(good[:-2] + good[good.rindex(b"\xff\xda") : -2] * 70 + good[-2:]))


def test_model_of_one_channel_takes_no_encoded_images() -> None:
    with pytest.raises(InvalidInputError, match="takes 1 channels and an encoded image has 3"):
        opened(sent(encode(SMALL)), InputSpec(name="image", shape=(1, 4, 4), layout="NCHW", scale=1.0))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG"]), st.data())
def test_damaged_file_is_decoded_or_refused_and_never_anything_else(kind: str, data: st.DataObject) -> None:
    content = bytearray(encode(LARGE, kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with suppress(InvalidInputError):
        assert decode(bytes(content), max_pixels=100_000, formats=("JPEG", "PNG")).ndim == 3


def test_images_that_wait_are_bounded_and_told_to_come_back() -> None:
    async def run(decoder: ImageDecoder) -> None:
        first = asyncio.create_task(decoder.open(sent(*[encode(LARGE)] * 5), SPEC, max_rows=8))
        await asyncio.sleep(0)
        with pytest.raises(QuotaExceededError, match="5 images are being decoded and 6 may") as caught:
            await decoder.open(sent(encode(SMALL), encode(SMALL)), SPEC, max_rows=8)
        assert caught.value.retry_after_s > 0
        await first
        await decoder.open(sent(encode(SMALL), encode(SMALL)), SPEC, max_rows=8)  # there is room again

    with_decoder(run, max_waiting=6)


def test_deadline_ends_the_wait_and_frees_the_place() -> None:
    async def run(decoder: ImageDecoder) -> None:
        held = threading.Event()
        for _ in range(2):  # both threads are busy with something else
            decoder._threads.submit(held.wait)
        try:
            with pytest.raises(DeadlineError, match="while images were decoded"):
                await decoder.open(sent(*[encode(SMALL)] * 6), SPEC, max_rows=8, timeout_s=0.05)
        finally:
            held.set()
        await decoder.open(sent(*[encode(SMALL)] * 6), SPEC, max_rows=8, timeout_s=10)

    with_decoder(run, max_waiting=6)


@pytest.fixture
def client(gateway: Any) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.address) as opened_client:
        yield opened_client


def ask(client: triton.InferenceServerClient, values: np.ndarray) -> np.ndarray:
    datatype = {"uint8": "UINT8", "float32": "FP32"}.get(values.dtype.name, "BYTES")
    item = triton.InferInput("image", list(values.shape), datatype)
    item.set_data_from_numpy(values)
    return client.infer("tiny", [item]).as_numpy("probabilities")


def files(*contents: bytes, columns: int | None = None) -> np.ndarray:
    return sent(*contents, columns=columns)[0].read()


def test_same_image_has_the_same_answer_whichever_way_it_is_sent(client: triton.InferenceServerClient) -> None:
    first = np.ascontiguousarray(np.moveaxis(SMALL[None], 3, 1))
    expected = ask(client, SMALL[None])
    for values in (first, files(encode(SMALL)), files(encode(SMALL), columns=1)):
        np.testing.assert_array_equal(ask(client, values), expected)
    np.testing.assert_allclose(ask(client, (first / np.float32(255)).astype(np.float32)), expected, atol=1e-6)
    # JPEG at its best quality moves a level of this noise by a few; the tiny model's mean of 16 by less than two.
    best = encode(SMALL, "JPEG", quality=100, subsampling=0)
    assert np.abs(decode(best).astype(int) - SMALL).max() <= 4
    np.testing.assert_allclose(ask(client, files(best)), expected, atol=0.02)


def test_bad_image_fails_its_own_request_and_no_other(client: triton.InferenceServerClient, gateway: Any) -> None:
    expected = ask(client, SMALL[None])

    def asks(content: bytes) -> np.ndarray | InferenceServerException:
        with triton.InferenceServerClient(gateway.address) as own:
            try:
                return ask(own, files(content))
            except InferenceServerException as error:
                return error

    contents = [encode(SMALL), b"\xff\xd8 no jpeg", encode(SMALL), encode(LARGE, "JPEG")[:200]] * 3
    with ThreadPoolExecutor(len(contents)) as threads:
        answers = list(threads.map(asks, contents))
    for answer in answers[::2]:
        np.testing.assert_array_equal(answer, expected)
    for answer in answers[1::2]:
        assert isinstance(answer, InferenceServerException)
        assert answer.status() == "StatusCode.INVALID_ARGUMENT"
        assert "input 'image' row 0" in answer.message()


def test_metadata_says_what_may_be_sent(gateway: Any) -> None:
    from grpc_api.client import GuardClient

    async def read() -> dict[str, str]:
        async with GuardClient(gateway.address) as client:
            (image,) = (await client.metadata("tiny")).inputs
            return {key: value.string_param for key, value in image.parameters.items()}

    assert asyncio.run(read()) == {"datatypes": "FP32 FP64 FP16 BF16 UINT8 BYTES", "encodings": "JPEG PNG"}
