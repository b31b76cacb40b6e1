"""Detectors with a network of their own, from weights that somebody has to a bundle that is served."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from miniature import InProcess, Miniature, discs, quiet, save, stripes
from torch import nn

from evaluation.training import to_inputs as as_torch
from exporters.backbone import features_of
from exporters.fuse import feature_graph
from exporters.graph import graph_bytes, load_graph
from exporters.runtime import run
from exporters.taps import find_taps
from guard.bundle import InputSpec, load_bundle
from guard.detectors.frozen_lr import FrozenLr
from guard.detectors.network import OwnNetwork
from guard.detectors.scratch import Scratch
from guard.errors import ConfigError
from guard.preprocess import to_inputs
from knockguard.networks import Examples, with_networks

SIDE = 16
SPEC = InputSpec(name="image", shape=(3, 24, 24), layout="NCHW", scale=1 / 255)
INSIDE, OUTSIDE = discs(60, seed=11)[0], stripes(60, seed=12)
BOTH = Examples(INSIDE, OUTSIDE)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole ResNet-18 of somebody's, saved as everybody saves it."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random convolutions in an .onnx file: no PyTorch is needed to use it."""
    path = tmp_path_factory.mktemp("network") / "filters.onnx"
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.manual_seed(6)
        layers = nn.Sequential(nn.Conv2d(3, 24, 5, stride=2), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.ReLU())
        whole = nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)).eval()
        torch.onnx.export(whole, (torch.zeros(1, 3, SIDE, SIDE),), path, verbose=False, external_data=False)
    return path


def features(miniature: Miniature, detector: OwnNetwork, examples: Examples = BOTH) -> np.ndarray:
    model = load_graph(miniature.onnx)
    whole, taps = with_networks(model, find_taps(model), [detector], examples, spec=SPEC, progress=quiet)
    shown = to_inputs(np.concatenate([INSIDE, OUTSIDE]), SPEC)
    return run(graph_bytes(feature_graph(whole, taps)), shown)[detector.network.tap]


def test_weights_of_a_file_give_the_features_that_pytorch_gives(miniature: Miniature, weights: Path) -> None:
    found = features(miniature, FrozenLr(backbone="resnet18", weights=str(weights), side=SIDE))
    model = torchvision.models.resnet18(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.fc = nn.Identity()
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        shown = nn.functional.interpolate(as_torch(torch.from_numpy(INSIDE)), (SIDE, SIDE), mode="bilinear")
        expected = model.eval()((shown - mean) / std).numpy()
    np.testing.assert_allclose(found[: len(INSIDE)], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.large
def test_trained_network_tells_in_from_out(miniature: Miniature) -> None:
    log_odds = features(miniature, Scratch(side=SIDE, epochs=4))
    assert log_odds.shape == (120, 1)
    inner, outer = log_odds[:60, 0], log_odds[60:, 0]
    assert (outer[:, None] > inner[None]).mean() > 0.9


@pytest.mark.large
def test_training_leaves_out_what_overlaps_where_asked(miniature: Miniature) -> None:
    nothing_in = Examples(INSIDE, OUTSIDE, overlap=np.ones(len(INSIDE), np.bool_))
    starred, plain = (
        features(miniature, Scratch(side=SIDE, epochs=4, remove_overlap=star), nothing_in) for star in (True, False)
    )
    assert starred[:60].mean() > 0 > plain[:60].mean(), "all that it saw was out"


def test_detector_of_an_onnx_file_is_protected_with_and_flags(
    miniature: Miniature, network: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    inside = save(discs(420, seed=3)[0], tmp_path / "in", ("goldfish", "disc", "007.circle"))
    (tmp_path / "map.csv").write_text("class,public\ncircle,\n007.circle,hoop\n")
    words = miniature.words(tmp_path / "bundle", "--detector", "frozen-lr", "--class-map", tmp_path / "map.csv")
    words[words.index(miniature.inside)] = inside
    done = knockguard(
        *words, "--set", f"frozen-lr.weights={network}", "--set", f"frozen-lr.side={SIDE}", "--set", "frozen-lr.folds=3"
    )
    assert done.code == 0, done.err
    assert "left out of what fits frozen-lr: 007.circle, goldfish, which public sets have too" in done.words
    bundle = load_bundle(tmp_path / "bundle")
    named = bundle.manifest.provenance.options["frozen-lr"]["weights"]
    assert str(named).startswith("filters.onnx (sha256 ")
    assert str(network.parent).encode() not in bundle.model + (tmp_path / "bundle" / "bundle.json").read_bytes()
    scores = run(bundle.model, to_inputs(np.concatenate([INSIDE, OUTSIDE]), SPEC), outputs=("scores",))["scores"][:, 0]
    assert (scores[60:, None] > scores[None, :60]).mean() > 0.7, "random filters are no ImageNet network, and see something"
    plain = onnx.load(miniature.onnx)
    assert len(onnx.load_model_from_string(bundle.model).graph.node) > len(plain.graph.node) + 8


@pytest.mark.parametrize(
    "case",
    [
        ("frozen-lr", "backbone=resnet19", "torchvision has no network 'resnet19'; did you mean 'resnet1"),
        ("frozen-lr", "weights={gone}", "cannot read the weights"),
        ("frozen-lr", "weights={words}", "holds no state dict that is only tensors"),
        ("frozen-lr", "weights={other}", "is not of resnet101: "),
        ("frozen-lr", "weights={words}.onnx", "is not an ONNX file"),
        ("scratch", "backbone=squeezenet1_1", "squeezenet1_1 ends in no dense layer"),
        ("scratch", "weights={list}", "holds a list; give a state dict"),
    ],
)
def test_network_that_cannot_be_had_is_refused_before_an_image_is_read(
    miniature: Miniature, weights: Path, tmp_path: Path, knockguard: InProcess, case: tuple[str, str, str]
) -> None:
    detector, option, message = case
    files = {name: tmp_path / name for name in ("gone", "words", "list")} | {"other": weights}
    files["words"].write_text("nothing")
    Path(f"{files['words']}.onnx").write_text("nothing")
    torch.save([1, 2], files["list"])
    words = [f"{detector}.{option.format(**files)}"]
    done = knockguard(*miniature.words(tmp_path / "bundle", "--detector", detector, "--set", *words))
    assert (done.code in (2, 3), message in done.words, "[1/5]" in done.err) == (True, True, False), done.err


def test_weights_that_would_run_code_are_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "run",))

    torch.save({"fc.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="no state dict that is only tensors"):
        features_of("resnet18", weights=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "run").exists()


def test_checkpoint_of_parallel_training_is_a_state_dict_as_well(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "checkpoint.pth")
    model = features_of("resnet18", weights=str(tmp_path / "checkpoint.pth"))
    assert torch.equal(model.get_parameter("layer1.0.conv1.weight"), state["layer1.0.conv1.weight"])
    assert not [name for name, _ in model.named_parameters() if name.startswith("fc")]
