"""ART's own extraction attacks, against a real gateway through the adapter."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bundle import rows_of, write_tiny

from evaluation.interop.art_classifier import gateway_classifier, grey_levels
from guard.errors import InvalidInputError, ModelNotFoundError, PermissionDeniedError
from knockguard.gateway_process import RunningGateway, gateway

N_STOLEN = 96


@pytest.fixture(scope="module")
def art() -> SimpleNamespace:
    """ART's names that are used here; importing it takes seconds."""
    reason = "adversarial-robustness-toolbox is not installed; the interop extra brings it"
    attacks = pytest.importorskip("art.attacks.extraction", reason=reason)
    classification = pytest.importorskip("art.estimators.classification", reason=reason)
    return SimpleNamespace(
        KnockoffNets=attacks.KnockoffNets, CopycatCNN=attacks.CopycatCNN, PyTorchClassifier=classification.PyTorchClassifier
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("art") / "tiny")


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(bundle, log=tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def colours() -> np.ndarray:
    """Return (300, 3, 4, 4) float32 in [0, 1]: noise in a colour of its own each."""
    rng = np.random.default_rng(0)
    return np.clip(rng.uniform(0, 1, (300, 3, 1, 1)) + rng.normal(0, 0.05, (300, 3, 4, 4)), 0, 1).astype(np.float32)


def student(art: SimpleNamespace) -> Any:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    loss = torch.nn.CrossEntropyLoss()
    return art.PyTorchClassifier(
        model, loss=loss, optimizer=optimizer, input_shape=(3, 4, 4), nb_classes=3, clip_values=(0.0, 1.0), device_type="cpu"
    )


@pytest.fixture
def _numpy_seed() -> Iterator[None]:
    """ART draws from numpy's global state."""
    before = np.random.get_state()
    np.random.seed(1)
    yield
    np.random.set_state(before)


CASES = {
    "knockoff on probabilities": ("KnockoffNets", {"use_probability": True}),
    "knockoff adaptive": ("KnockoffNets", {"sampling_strategy": "adaptive", "verbose": False}),
    "copycat": ("CopycatCNN", {}),
}


@pytest.mark.usefixtures("_numpy_seed")
@pytest.mark.parametrize("case", CASES)
def test_arts_attack_copies_what_the_gateway_serves_and_pays_for_each_query(
    case: str, art: SimpleNamespace, served: RunningGateway, colours: np.ndarray
) -> None:
    attack, options = CASES[case]
    groups = colours[:200].mean(axis=(2, 3)).argmin(axis=1) if "adaptive" in case else None
    before = served.counter("knockguard_rows_total")
    with gateway_classifier(served.address, "tiny") as victim:
        method = getattr(art, attack)(victim, nb_stolen=N_STOLEN, batch_size_query=64, batch_size_fit=16, nb_epochs=20, **options)
        copy = method.extract(colours[:200], groups, thieved_classifier=student(art))
        assert served.counter("knockguard_rows_total") - before == N_STOLEN
        held_out = colours[200:]
        agreed = (copy.predict(held_out).argmax(axis=1) == victim.predict(held_out).argmax(axis=1)).mean()
    assert agreed > 0.85


def test_black_box_answers_as_the_model_does(art: SimpleNamespace, served: RunningGateway, colours: np.ndarray) -> None:
    with gateway_classifier(served.address, "tiny") as victim:
        answers = victim.predict(colours[:50], batch_size=32)
    means = grey_levels(colours[:50]).mean(axis=(1, 2)) / 255
    expected = np.exp(8 * means)
    np.testing.assert_allclose(answers, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)
    assert (victim.input_shape, victim.nb_classes) == ((3, 4, 4), 3)


def test_refused_query_ends_the_attack_with_a_way_on(art: SimpleNamespace, bundle: Path, tmp_path: Path) -> None:
    refusing = gateway(bundle, log=tmp_path / "log", arguments=("--policy", "refuse"))
    with refusing as running, gateway_classifier(running.address, "tiny") as victim:
        assert victim.predict(rows_of(0.1)).shape == (1, 3)
        with pytest.raises(PermissionDeniedError, match="use `knockguard attack`"):
            victim.predict(np.concatenate([rows_of(0.1), rows_of(0.9)]))


def test_unknown_model_is_told_at_once(art: SimpleNamespace, served: RunningGateway) -> None:
    with pytest.raises(ModelNotFoundError, match="tiny"), gateway_classifier(served.address, "tinny"):
        pass


def test_somebody_elses_model_needs_consent() -> None:
    with pytest.raises(PermissionDeniedError, match="consent"), gateway_classifier("192.0.2.1:8001", "model"):
        pass


def test_grey_levels_are_those_the_floats_came_from() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    floats = np.moveaxis(pixels, 3, 1) / np.float32(255)
    np.testing.assert_array_equal(grey_levels(floats), pixels)
    np.testing.assert_array_equal(grey_levels(floats * 3 - 1), np.clip(pixels.astype(int) * 3 - 255, 0, 255))
    with pytest.raises(InvalidInputError, match="not finite"):
        grey_levels(np.full((1, 3, 1, 1), np.nan, np.float32))
