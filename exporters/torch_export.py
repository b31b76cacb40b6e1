"""nn.Module -> ONNX: any batch size, normalisation and named stages inside, and every output compared with PyTorch's own."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from exporters.graph import graph_bytes
from exporters.rewrite import strip
from exporters.runtime import run
from exporters.taps import STAGE
from guard.errors import ExportError, ParityError
from guard.registry import nearest
from guard.types import Array, Floats
from guard.whole import write_whole

PARITY = 1e-4  # of a row's largest value
INPUT, LOGITS = "image", "logits"
# The opset that PyTorch's exporter writes itself, in every release since 2.6; any other is converted from it.
_OPSET = 18
_MIN_ROWS = 3


@dataclass(frozen=True, slots=True)
class OutputReport:
    """One output: its shape without the batch, and its largest difference from PyTorch as a share of the row's largest value."""

    name: str
    shape: tuple[int, ...]
    gap: float


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and how close it is to the module on `n_images` images."""

    path: Path
    outputs: tuple[OutputReport, ...]
    n_images: int
    n_bytes: int


def export_victim(  # noqa: PLR0913  # what is exported, then options that have a default
    model: nn.Module,
    path: Path,
    *,
    sample: Array,
    stages: Mapping[str, str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ExportReport:
    """Write a module that returns (n, k) logits as ONNX; outputs are `logits` and each stage.

    `sample` (n, c, h, w) float32 are real images, as the graph will get them. `stages` maps stage1, ... to the paths of
    submodules, such as "layer1". `mean` and `std`, one value a channel, put (x - mean) / std in front of the module. The file
    appears only after every output agreed with PyTorch to 1e-4. ExportError if the module cannot be exported, ParityError if
    the graph answers otherwise. The module's own modes, train or eval, are left as they were.
    """
    if sample.ndim != 4 or sample.dtype != np.float32 or not len(sample):
        raise ExportError(
            f"sample is {sample.shape} {sample.dtype}; it must be (n, channels, height, width) float32, n at least 1"
        )
    _check_normalisation({"mean": mean, "std": std}, n_channels=sample.shape[1])
    n_images = len(sample)
    if n_images < _MIN_ROWS:
        sample = np.resize(sample, (_MIN_ROWS, *sample.shape[1:]))
    wrapped = _Victim(model, _submodules(model, stages or {}), mean, std)
    modes = {module: module.training for module in model.modules()}
    wrapped.eval()
    try:
        expected = _answers(wrapped, sample)
        graph = _convert(wrapped, sample)
    finally:
        wrapped.release()
        for module, training in modes.items():
            module.training = training
    data = graph_bytes(graph)
    # One alone and the rest together, where PyTorch had them all: a batch size that got fixed shows.
    outputs = _compare(expected, run(data, [sample[:1], sample[1:]]))
    write_whole(path, data)
    return ExportReport(path, outputs, n_images, len(data))


class _Victim(nn.Module):
    """The module with normalisation in front and stages beside its answer."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, stages: Mapping[str, nn.Module], mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> None:
        super().__init__()
        self.model = model
        self.names = (LOGITS, *stages)
        self._seen: dict[str, Tensor] = {}
        self.normalised = mean is not None or std is not None
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.register_buffer("mean", torch.tensor(mean or [0.0], device=device).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std or [1.0], device=device).view(1, -1, 1, 1), persistent=False)
        self.device = device
        # Last: they hang on the caller's module, and only `release` takes them off.
        self._hooks = [module.register_forward_hook(self._keep(name)) for name, module in stages.items()]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = (image - self.mean) / self.std if self.normalised else image
        logits = self.model(x)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ExportError(f"the module returns {found}; it must return one tensor of logits, (n, classes)")
        return (logits, *(self._seen[name] for name in self.names[1:]))

    def _keep(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim != 4:
                raise ExportError(f"{name}: the submodule does not return one (n, c, h, w) tensor; name another")
            self._seen[name] = output

        return hook

    def release(self) -> None:
        """Take the hooks off the caller's module."""
        for hook in self._hooks:
            hook.remove()
        self._seen.clear()


def _check_normalisation(given: Mapping[str, Sequence[float] | None], *, n_channels: int) -> None:
    for name, values in given.items():
        if values is None:
            continue
        # An array of them is as good as a list; a word is no number whatever it says.
        numbers = all(isinstance(v, (int, float, np.number)) and math.isfinite(v) for v in values)
        if len(values) != n_channels or not numbers or (name == "std" and min(values) <= 0):
            least = "greater than 0" if name == "std" else "finite"
            raise ExportError(f"{name} is {values!r:.80}; it must be {n_channels} numbers, one a channel, each {least}")


def _submodules(model: nn.Module, stages: Mapping[str, str]) -> dict[str, nn.Module]:
    known = dict(model.named_modules())
    for name, path in stages.items():
        if not STAGE.fullmatch(name):
            raise ExportError(f"a stage is called {name!r}; call it stage1, stage2, ... from shallow to deep")
        if path not in known:
            raise ExportError(f"{name}: the module has no submodule {path!r}{nearest(path, filter(None, known))}")
    return {name: known[path] for name, path in stages.items()}


def _answers(wrapped: _Victim, sample: Floats) -> dict[str, Floats]:
    """Return output name -> (n, ...) float32 as PyTorch computes it."""
    try:
        with torch.no_grad():
            batches = [wrapped(torch.from_numpy(sample[i : i + 32]).to(wrapped.device)) for i in range(0, len(sample), 32)]
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ExportError(f"the module cannot answer a sample of shape {sample.shape}: {_reason(error)}") from error
    return {name: torch.cat([b[i] for b in batches]).float().cpu().numpy() for i, name in enumerate(wrapped.names)}


def _convert(wrapped: _Victim, sample: Floats) -> ModelProto:
    example = torch.from_numpy(sample[:2]).to(wrapped.device)  # two rows: a dimension of one is taken for a constant
    try:
        # PyTorch warns about its own deprecations here; nothing that a caller could mend.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                wrapped,
                (example,),
                dynamo=True,
                verbose=False,
                optimize=True,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=list(wrapped.names),
                dynamic_shapes=({0: torch.export.Dim("n")},),
            )
    except Exception as error:  # the exporter's errors share no base
        raise ExportError(f"PyTorch cannot export the module: {_reason(error)}") from error
    if program is None:
        raise ExportError("PyTorch exported nothing; torch 2.6 or newer with onnxscript is needed")
    model: ModelProto = program.model_proto
    strip(model)
    return model


def _compare(expected: Mapping[str, Floats], found: Mapping[str, Floats]) -> tuple[OutputReport, ...]:
    """Return a report for each output; ParityError lists each that differs, and by how much."""
    reports, failures = [], []
    for name, theirs in expected.items():
        ours = found[name]
        if ours.shape != theirs.shape:
            failures.append(f"{name} has shape {ours.shape}, PyTorch's {theirs.shape}")
            continue
        rows = (ours - theirs).reshape(len(theirs), -1)
        scale = np.abs(theirs).reshape(len(theirs), -1).max(axis=1)
        gap = float((np.abs(rows).max(axis=1) / np.maximum(scale, np.finfo(np.float32).tiny)).max())
        if not gap <= PARITY:  # so that NaN fails
            failures.append(f"{name} by {gap:.2e}")
        reports.append(OutputReport(name, theirs.shape[1:], gap))
    if failures:
        raise ParityError(
            f"the exported graph differs from PyTorch, relative to a row's largest value: {', '.join(failures)}; "
            f"at most {PARITY:.0e} is allowed. Look for layers that behave otherwise there, such as dropout that never ends"
        )
    return tuple(reports)


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause: the exporter wraps what went wrong in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
