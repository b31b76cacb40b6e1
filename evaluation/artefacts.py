"""What a report shows beside the figures: scores and example images, kept in one file so that the page can be made again."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from guard.errors import InvalidInputError
from guard.types import Floats, Pixels
from guard.whole import write_whole

ARTEFACTS = "artefacts.npz"
_REMEDY = "run the command that wrote the results again"


@dataclass(frozen=True, slots=True)
class Example:
    """One image (height, width, 3) uint8 as the gateway saw it, whose it was, and what became of it."""

    pixels: Pixels
    caption: str
    attack: bool  # True: a copier's query, False: a customer's
    flagged: bool


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Scores (n,) of in images and of the attack's queries by the deciding detector, its threshold, and examples."""

    in_scores: Floats
    out_scores: Floats
    threshold: float
    examples: tuple[Example, ...] = ()


def write_artefacts(artefacts: Artefacts, path: Path) -> None:
    """Write an .npz of plain arrays, whole or not at all."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"image{i}": example.pixels for i, example in enumerate(artefacts.examples)}
    np.savez_compressed(
        buffer,
        in_scores=np.asarray(artefacts.in_scores, dtype=np.float32),
        out_scores=np.asarray(artefacts.out_scores, dtype=np.float32),
        threshold=np.float64(artefacts.threshold),
        captions=np.array([e.caption for e in artefacts.examples], dtype=np.str_),
        attack=np.array([e.attack for e in artefacts.examples], dtype=np.bool_),
        flagged=np.array([e.flagged for e in artefacts.examples], dtype=np.bool_),
        **arrays,
    )
    write_whole(path, buffer.getvalue())


def read_artefacts(path: Path) -> Artefacts:
    """Read what `write_artefacts` wrote; InvalidInputError if it is not there or is something else."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            rows = zip(file["captions"].tolist(), file["attack"].tolist(), file["flagged"].tolist(), strict=True)
            examples = tuple(Example(file[f"image{i}"], *row) for i, row in enumerate(rows))
            return Artefacts(file["in_scores"], file["out_scores"], float(file["threshold"]), examples)
    except OSError as error:
        raise InvalidInputError(
            f"cannot read {path} ({error.strerror or error}); run the command that wrote the results again"
        ) from None
    except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{path} holds no report artefacts ({error}); run the command that wrote the results again"
        ) from None
