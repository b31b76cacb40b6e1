"""What a client of the Open Inference Protocol may count on, as one table that every client is led through.

Needs numpy alone: other servers' clients run it in environments of their own. The gateway serves `tiny`, of tests/tiny_bundle.py,
under label-only: bright images are flagged and get [1, 0, 0], the others what the model computes.

Source: Open Inference Protocol, "GRPC"; Triton's classification extension for answers in words.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

SHAPE = (3, 4, 4)
Parameter = bool | int | str


@dataclass(frozen=True)
class Ask:
    """One ModelInfer: `values` as a tensor of `datatype`, in the message's raw contents or in its typed ones."""

    values: np.ndarray
    datatype: str = "FP32"
    typed: bool = False
    input: str = "image"
    model: str = "tiny"
    version: str = ""
    id: str = ""
    outputs: Sequence[str] = ()
    classes: int = 0
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    inputs: int = 1  # how often the tensor is sent, each time under a name of its own


@dataclass(frozen=True)
class Answer:
    """What came back, as the client reads it."""

    model: str
    version: str
    id: str
    outputs: Mapping[str, np.ndarray]
    parameters: Mapping[str, Parameter]


class Refused(Exception):
    """The server's refusal, as the client tells it: a gRPC status by name, and a sentence."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(f"{status}: {sentence}")
        self.status, self.sentence = status, sentence


class Cannot(Exception):
    """This client has no way to ask that."""


class Client(Protocol):
    """One client, open. Calls that it does not have raise Cannot, refusals Refused; metadata is plain dictionaries."""

    def live(self) -> bool: ...
    def ready(self) -> bool: ...
    def model_ready(self, model: str, version: str) -> bool: ...
    def server_metadata(self) -> Mapping[str, Any]: ...
    def model_metadata(self, model: str, version: str) -> Mapping[str, Any]: ...
    def infer(self, ask: Ask) -> Answer: ...


def rows(level: float, n: int = 1) -> np.ndarray:
    """Return (n, 3, 4, 4) float32 of one level, its channels apart; above .5 they are flagged."""
    return np.full((n, *SHAPE), level, np.float32) * np.array([1.0, 0.9, 0.8], np.float32).reshape(1, 3, 1, 1)


def answer_to(images: np.ndarray) -> np.ndarray:
    """Return what `tiny` computes of (n, 3, 4, 4) float32, in numpy."""
    exp = np.exp(8 * images.mean(axis=(2, 3)))
    return exp / exp.sum(axis=1, keepdims=True)


def files(pixels: np.ndarray) -> np.ndarray:
    """Return (n,) bytes objects, the PNG files of (n, h, w, 3) pixels."""
    made = np.empty(len(pixels), dtype=object)
    made[:] = [_png(image) for image in pixels]
    return made


def _png(image: np.ndarray) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + line.tobytes() for line in image)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


DARK, BRIGHT = rows(0.1, 2), rows(0.95)
PIXELS = np.random.default_rng(0).integers(0, 100, (2, 4, 4, 3), dtype=np.uint8)  # channels last, and dark
CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(PIXELS, 3, 1))
SHOWN = answer_to(CHANNELS_FIRST / np.float32(255))
KEPT: Mapping[str, Parameter] = {"note": "abc", "count": 7, "flag": True}
HALF = np.array([0.25, 0.5, 0.125], np.float32).reshape(1, 3, 1, 1) * np.ones((1, *SHAPE), np.float32)  # exact in 8 bits

# sentence -> what is asked, the probabilities that come back, and how near they must be
ANSWERED: dict[str, tuple[Ask, np.ndarray, float]] = {
    "FP32, raw": (Ask(DARK), answer_to(DARK), 1e-6),
    "FP32, typed": (Ask(DARK, typed=True), answer_to(DARK), 1e-6),
    "FP64, raw": (Ask(DARK.astype(np.float64), "FP64"), answer_to(DARK), 1e-6),
    "FP64, typed": (Ask(DARK.astype(np.float64), "FP64", typed=True), answer_to(DARK), 1e-6),
    "FP16, raw": (Ask(HALF.astype(np.float16), "FP16"), answer_to(HALF), 1e-6),
    "BF16, raw": (Ask(HALF, "BF16"), answer_to(HALF), 1e-6),
    "UINT8, channels last, raw": (Ask(PIXELS, "UINT8"), SHOWN, 1e-6),
    "UINT8, channels first, raw": (Ask(CHANNELS_FIRST, "UINT8"), SHOWN, 1e-6),
    "UINT8, typed": (Ask(PIXELS, "UINT8", typed=True), SHOWN, 1e-6),
    "BYTES, PNG files, raw": (Ask(files(PIXELS), "BYTES"), SHOWN, 1e-6),
    "BYTES, PNG files, typed": (Ask(files(PIXELS), "BYTES", typed=True), SHOWN, 1e-6),
    "a flagged row gets the policy's answer, its neighbours their own": (
        Ask(np.concatenate([DARK, BRIGHT])), np.concatenate([answer_to(DARK), [[1, 0, 0]]]), 1e-6),
    "an empty batch is answered with no rows": (Ask(DARK[:0]), np.empty((0, 3)), 0),
    "as many rows as are allowed": (Ask(rows(0.1, 256)), answer_to(rows(0.1, 256)), 1e-6),
    "the right version": (Ask(DARK, version="3"), answer_to(DARK), 1e-6),
    "the output by its name": (Ask(DARK, outputs=("probabilities",)), answer_to(DARK), 1e-6),
}  # fmt: skip

_OTHERS = {
    "BOOL": "?", "INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8",
}  # fmt: skip
# sentence -> what is asked, the status, and what the sentence says
REFUSED: dict[str, tuple[Ask, str, str]] = {
    **{
        f"{datatype}, {'typed' if typed else 'raw'}, is refused": (
            Ask(np.ones((1, *SHAPE), code), datatype, typed=typed), "INVALID_ARGUMENT", f"is {datatype}; send FP32")
        for datatype, code in _OTHERS.items() for typed in (False, True)
    },
    "an unknown output is refused": (Ask(DARK, outputs=("logits",)), "INVALID_ARGUMENT", "no output 'logits'"),
    "the score is no output": (Ask(DARK, outputs=("probabilities", "scores")), "INVALID_ARGUMENT", "no output 'scores'"),
    "an unknown model is refused": (Ask(DARK, model="tinny"), "NOT_FOUND", "did you mean 'tiny'"),
    "an unknown version is refused": (Ask(DARK, version="4"), "NOT_FOUND", "it has 3"),
    "an input of another name is refused": (Ask(DARK, input="pixels"), "INVALID_ARGUMENT", "one input, 'image'"),
    "a second input is refused": (Ask(DARK, inputs=2), "INVALID_ARGUMENT", "one input, 'image'"),
    "another size is refused": (Ask(np.zeros((1, 3, 5, 5), np.float32)), "INVALID_ARGUMENT", "shape [-1, 3, 4, 4]"),
    "an image without a batch is refused": (Ask(DARK[0]), "INVALID_ARGUMENT", "shape [-1, 3, 4, 4]"),
    "more rows than are allowed are refused": (Ask(rows(0.1, 257)), "INVALID_ARGUMENT", "at most 256"),
    "what is no number is refused": (Ask(np.full((1, *SHAPE), np.nan, np.float32)), "INVALID_ARGUMENT", "not finite"),
    "what float32 cannot hold is refused": (Ask(np.full((1, *SHAPE), 1e300), "FP64"), "INVALID_ARGUMENT", "not finite"),
    "a file that is no image is refused": (
        Ask(np.array([b"no image"], dtype=object), "BYTES"), "INVALID_ARGUMENT", "row 0"),
}  # fmt: skip


def held_to(check: bool, found: object) -> None:
    if not check:
        raise AssertionError(f"found {found}")


def _live(client: Client) -> None:
    held_to(client.live() is True, "no life")


def _ready(client: Client) -> None:
    held_to(client.ready() is True, "not ready")


def _model_ready(client: Client) -> None:
    held_to(client.model_ready("tiny", "") is True, "not ready")


def _version_ready(client: Client) -> None:
    held_to(client.model_ready("tiny", "3") is True, "not ready")


def _unknown_model_ready(client: Client) -> None:
    refused(lambda: client.model_ready("tinny", ""), "NOT_FOUND", "did you mean 'tiny'")


def _server_metadata(client: Client) -> None:
    found = client.server_metadata()
    held_to(found["name"] == "knockguard" and bool(found["version"]) and "classification" in found["extensions"], found)


def _model_metadata(client: Client) -> None:
    found = client.model_metadata("tiny", "")
    held_to((found["name"], list(found["versions"]), found["platform"]) == ("tiny", ["3"], "onnxruntime_onnx"), found)
    held_to(found["inputs"] == [("image", "FP32", [-1, *SHAPE])], found)
    held_to(found["outputs"] == [("probabilities", "FP32", [-1, 3])], found)


def _unknown_metadata(client: Client) -> None:
    refused(lambda: client.model_metadata("tiny", "4"), "NOT_FOUND", "it has 3")


def _told(client: Client) -> None:
    answer = client.infer(Ask(DARK, id="query-7"))
    held_to((answer.id, answer.model, answer.version) == ("query-7", "tiny", "3"), answer)


def _parameters(client: Client) -> None:
    answer = client.infer(Ask(DARK, parameters=KEPT))
    held_to(dict(answer.parameters) == KEPT, answer.parameters)


def _words(client: Client) -> None:
    answer = client.infer(Ask(np.concatenate([DARK, BRIGHT]), outputs=("probabilities",), classes=2))
    found = answer.outputs["probabilities"]
    held_to(found.shape == (3, 2), found)
    first = answer_to(DARK)[0]
    held_to(found[0, 0] == f"{first[0]:f}:0:red".encode(), found)
    held_to(list(found[2]) == [b"1.000000:0:red", b"0.000000:1:green"], found)


CALLS: dict[str, Callable[[Client], None]] = {
    "ServerLive": _live,
    "ServerReady": _ready,
    "ModelReady": _model_ready,
    "ModelReady of a version": _version_ready,
    "ModelReady of an unknown model is refused": _unknown_model_ready,
    "ServerMetadata": _server_metadata,
    "ModelMetadata": _model_metadata,
    "ModelMetadata of an unknown version is refused": _unknown_metadata,
    "the request's id, the model and its version are told": _told,
    "the request's parameters come back": _parameters,
    "the likeliest classes in words": _words,
}


def refused(call: Callable[[], object], status: str, words: str) -> None:
    try:
        found = call()
    except Refused as error:
        held_to(error.status == status and words in error.sentence, error)
    else:
        raise AssertionError(f"answered with {found}")


def answered(client: Client, ask: Ask, expected: np.ndarray, near: float) -> None:
    answer = client.infer(ask)
    held_to(list(answer.outputs) == ["probabilities"], answer)
    found = answer.outputs["probabilities"]
    held_to(found.shape == expected.shape and found.dtype == np.float32, found)
    held_to(bool(np.allclose(found, expected, rtol=0, atol=near)), found)


CLAIMS: dict[str, Callable[[Client], None]] = {
    **CALLS,
    **{name: lambda client, row=row: answered(client, *row) for name, row in ANSWERED.items()},
    **{name: lambda client, row=row: refused(lambda: client.infer(row[0]), *row[1:]) for name, row in REFUSED.items()},
}


def outcomes(client: Client) -> dict[str, str]:
    """Return for each claim "held", "cannot: ..." where the client has no way to ask, or "failed: ..."."""
    found = {}
    for name, claim in CLAIMS.items():
        try:
            claim(client)
            found[name] = "held"
        except Cannot as error:
            found[name] = f"cannot: {error}"
        except Exception as error:  # whatever a client raises, the others' claims are still to be seen
            found[name] = f"failed: {type(error).__name__}: {error}"
    return found
