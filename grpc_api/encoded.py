"""Encoded images, as people have them: a BYTES tensor of JPEG and PNG files becomes the grey levels that it shows.

Decoding costs a sender nothing and us milliseconds, so it is bounded on every side: bytes and pixels of one image, pixels of one
request, images that wait, threads that decode. Sizes are read from headers before a pixel is decoded.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from grpc_api.converters import Tensor
from grpc_api.cores import n_cores
from grpc_api.inputs import checked_input
from grpc_api.settings import ImageSettings
from guard.bundle import InputSpec
from guard.errors import DeadlineError, InvalidInputError, QuotaExceededError
from guard.images import decode, n_pixels
from guard.preprocess import framed, image_size
from guard.types import Array, Pixels

FORMATS = ("JPEG", "PNG")
_RETRY_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Bytes and pixels of one image, pixels of all images of one request, and images that may wait or be at work."""

    max_bytes: int = 8 << 20
    max_pixels: int = 16_000_000
    max_request_pixels: int = 64_000_000
    max_waiting: int = 1024

    @classmethod
    def of(cls, settings: ImageSettings, *, max_waiting: int) -> "ImageLimits":
        """Return the limits that a gateway was told."""
        return cls(
            max_bytes=settings.max_mib << 20,
            max_pixels=int(settings.max_megapixels * 1e6),
            max_request_pixels=int(settings.max_request_megapixels * 1e6),
            max_waiting=max_waiting,
        )


class ImageDecoder:
    """Threads that decode; Pillow releases the GIL while it does."""

    def __init__(self, limits: ImageLimits | None = None, *, threads: int = 0) -> None:
        """`threads` decode at once, 0 is one for each core that this process may use."""
        self._limits = limits or ImageLimits()
        self._threads = ThreadPoolExecutor(threads or n_cores(), thread_name_prefix="decode")
        self._waiting = 0

    async def open(
        self, tensors: Sequence[Tensor], spec: InputSpec, *, max_rows: int, timeout_s: float | None = None
    ) -> list[Tensor]:
        """Return the tensors of a request with every BYTES tensor decoded: UINT8, in the graph's own layout and size.

        InvalidInputError names the row, the limit and the way out; QuotaExceededError when too many images wait already;
        DeadlineError when `timeout_s` passed first, and then what has not been begun is not done.
        """
        return [
            await self._decoded(t, spec, max_rows=max_rows, timeout_s=timeout_s) if t.datatype == "BYTES" else t for t in tensors
        ]

    def open_now(self, tensors: Sequence[Tensor], spec: InputSpec, *, max_rows: int) -> list[Tensor]:
        """As `open`, in the calling thread: for a server that gives each request a thread of its own."""
        return [self._decoded_now(t, spec, max_rows=max_rows) if t.datatype == "BYTES" else t for t in tensors]

    def close(self) -> None:
        """Let what is being decoded end, and drop the rest."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _decoded(self, tensor: Tensor, spec: InputSpec, *, max_rows: int, timeout_s: float | None) -> Tensor:
        files = _files(tensor, spec, max_rows=max_rows)
        if self._waiting + len(files) > self._limits.max_waiting:
            raise QuotaExceededError(
                f"{self._waiting} images are being decoded and {self._limits.max_waiting} may; try again shortly",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._waiting += len(files)
        try:
            async with asyncio.timeout(timeout_s):
                pixels = await self._pixels(files, tensor.name, image_size(spec))
        except TimeoutError:
            raise DeadlineError("the deadline passed while images were decoded; allow more time or send fewer at once") from None
        finally:
            self._waiting -= len(files)
        return _grey_levels(tensor.name, pixels, spec)

    def _decoded_now(self, tensor: Tensor, spec: InputSpec, *, max_rows: int) -> Tensor:
        files, size = _files(tensor, spec, max_rows=max_rows), image_size(spec)
        names = _names(tensor.name, len(files))
        self._check_sum(files, names)
        rows = [self._row(*item, size) for item in zip(files, names, strict=True)]
        return _grey_levels(tensor.name, _stacked(rows, size), spec)

    async def _pixels(self, files: Sequence[bytes], name: str, size: tuple[int, int]) -> Pixels:
        loop = asyncio.get_running_loop()
        names = _names(name, len(files))
        if len(files) > 1:  # one image is held to its own limit
            await loop.run_in_executor(self._threads, self._check_sum, files, names)
        jobs = [loop.run_in_executor(self._threads, self._row, *item, size) for item in zip(files, names, strict=True)]
        try:
            rows = await asyncio.gather(*jobs)
        except BaseException:
            for job in jobs:  # the request has failed: its other images are not decoded for nothing
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise
        return _stacked(rows, size)

    def _check_sum(self, files: Sequence[bytes], names: Sequence[str]) -> None:
        total = 0
        for content, name in zip(files, names, strict=True):
            total += n_pixels(content, name=name, max_bytes=self._limits.max_bytes, formats=FORMATS)
        if total > self._limits.max_request_pixels:
            raise InvalidInputError(
                f"the request's {len(files)} images have {total} pixels; at most {self._limits.max_request_pixels} are decoded "
                "at once, so send several requests, or reduce the images first"
            )

    def _row(self, content: bytes, name: str, size: tuple[int, int]) -> Pixels:
        limits = self._limits
        pixels = decode(content, name=name, max_pixels=limits.max_pixels, max_bytes=limits.max_bytes, formats=FORMATS)
        return framed(pixels, size)


def _names(name: str, n: int) -> list[str]:
    return [f"input {name!r} row {row}" for row in range(n)]


def _stacked(rows: Sequence[Pixels], size: tuple[int, int]) -> Pixels:
    return np.stack(rows) if rows else np.empty((0, *size, 3), np.uint8)


def _grey_levels(name: str, pixels: Pixels, spec: InputSpec) -> Tensor:
    """Return (n, h, w, 3) pixels as the UINT8 tensor that a client could have sent, in the graph's own layout."""
    values: Array = pixels if spec.layout == "NHWC" else np.moveaxis(pixels, 3, 1)
    return Tensor(name, "UINT8", values.shape, lambda: values)


def claimed_rows(tensors: Sequence[Tensor], spec: InputSpec, *, max_rows: int) -> int:
    """Return how many rows a request asks for, by its claims alone; InvalidInputError where `open` would raise it."""
    claimed = [
        Tensor(t.name, "UINT8", (_n_files(t, spec, max_rows=max_rows), *spec.shape), t.read) if t.datatype == "BYTES" else t
        for t in tensors
    ]
    return checked_input(claimed, spec, max_rows=max_rows).shape[0]


def _files(tensor: Tensor, spec: InputSpec, *, max_rows: int) -> list[bytes]:
    """Return the n files of a tensor of shape [n] or [n, 1]."""
    _n_files(tensor, spec, max_rows=max_rows)
    return list(tensor.read().ravel())


def _n_files(tensor: Tensor, spec: InputSpec, *, max_rows: int) -> int:
    shape = tensor.shape
    channels = spec.shape[0] if spec.layout == "NCHW" else spec.shape[2]
    if channels != 3:
        raise InvalidInputError(f"the model takes {channels} channels and an encoded image has 3; send UINT8 or FP32")
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise InvalidInputError(
            f"input {tensor.name!r} has shape {list(shape)}; BYTES are encoded images and must have shape [-1] or [-1, 1]"
        )
    if shape[0] > max_rows:
        raise InvalidInputError(
            f"{shape[0]} rows in one request; at most {max_rows} are answered at once, so send several requests"
        )
    return shape[0]
