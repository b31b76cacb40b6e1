"""The story in miniature: discs whose colour a victim tells, stripes that are out, and the command that people type."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guard.types import Floats, Ints, Pixels
from knockguard.cli import main

SIDE = 24
COLOURS = ("red", "green", "blue")
COMMAND = (sys.executable, "-m", "knockguard")


def quiet(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def discs(n: int, *, seed: int, side: int = SIDE) -> tuple[Pixels, Ints]:
    """Return (n, side, side, 3) discs of three colours on grey, and their colours."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 3
    y, x = np.mgrid[:side, :side] * (SIDE / side)
    images = rng.normal(110, 12, (n, side, side, 3))
    for image, label in zip(images, labels, strict=True):
        centre, radius = rng.uniform(8, 16, 2), rng.uniform(5, 8)
        image[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2, label] += 90
    return images.clip(0, 255).astype(np.uint8), labels


def stripes(n: int, *, seed: int, side: int = SIDE) -> Pixels:
    """Return (n, side, side, 3) images of stripes in any direction and colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] * (SIDE / side)
    images = np.empty((n, side, side, 3))
    for image in images:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 9)
        wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)[..., None]
        image[:] = 110 + wave * rng.uniform(20, 80, 3) + rng.normal(0, 8, (side, side, 3))
    return images.clip(0, 255).astype(np.uint8)


def save(images: Pixels, folder: Path, classes: tuple[str, ...] = (), *, suffix: str = "png") -> Path:
    """Write each image as a file of its own, in turn into the folders of `classes` if there are any."""
    for i, image in enumerate(images):
        path = folder / (classes[i % len(classes)] if classes else "") / f"{i:04d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def listing(folder: Path) -> set[str]:
    """Return everything below a folder, hidden names as well."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@dataclass(frozen=True)
class Miniature:
    """The victim's file, its logits on 90 test discs, and folders of in and out images."""

    onnx: Path
    test: Pixels
    labels: Ints
    logits: Floats
    inside: Path
    outside: Path

    def words(self, out: Path, *more: object) -> list[object]:
        """Return the words that protect the victim."""
        return ["protect", self.onnx, "--in", self.inside, "--out-pool", self.outside, "-o", out, "--name", "discs", *more]


@dataclass(frozen=True)
class Done:
    """How a command ended; `words` is its stderr on one line and without boxes."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return " ".join(self.err.replace("│", " ").split())


def call(*arguments: object, timeout_s: float = 90) -> Done:
    """Run the real command in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


class InProcess:
    """The command's own `main`, in this process: the same words and codes without seconds of imports each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["knockguard", *map(str, arguments)])
        self._monkeypatch.setenv("COLUMNS", "400")  # a long path would be cut in the middle of a word
        self._capsys.readouterr()
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGTERM, before)
        said = self._capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)


@contextmanager
def heard(arguments: list[object], until: str) -> Iterator[subprocess.Popen[str]]:
    """A command under way that has said `until` on stderr; killed if the block leaves it running."""
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while until not in said:
                line = process.stderr.readline()
                assert line, f"it ended first: {said}"
                said += line
            yield process
        finally:
            process.kill()
