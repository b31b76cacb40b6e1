"""Models and the training loop, on images that a mean of colours tells apart."""

import numpy as np
import pytest
import torch

from evaluation.adversaries.soft import Soft
from evaluation.metrics import accuracy
from evaluation.models import ARCHITECTURES, architecture, build
from evaluation.optimiser import Optimiser, Weights
from evaluation.surrogate import Student, copy_side_by_side, copy_victim
from evaluation.training import Training, predict, train
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError, InvalidInputError

QUICK = Training(epochs=3, batch_size=16)


def nothing(done: int, total: int) -> None:
    """Nobody is told."""


def coloured(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one channel brighter: which one is the label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pixels = rng.integers(0, 120, (n, 32, 32, 3))
    pixels[np.arange(n), :, :, labels] += 100
    return pixels.astype(np.uint8), labels.astype(np.int64)


def weights(model: torch.nn.Module) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_architecture_has_the_stages_it_names_and_answers_logits(name):
    model = build(name, n_classes=3, seed=0).eval()
    shapes = []
    for path in architecture(name).stages.values():
        model.get_submodule(path).register_forward_hook(lambda _m, _i, output: shapes.append(output.shape))
    assert predict(model, coloured(2)[0]).shape == (2, 3)
    assert len(shapes) == len(architecture(name).stages)
    assert all(len(shape) == 4 for shape in shapes)
    sides = [shape[2] for shape in shapes]
    assert sides == sorted(sides, reverse=True)


def test_unknown_architecture_hears_the_nearest():
    with pytest.raises(ConfigError, match="resnet18"):
        build("resnet-18", n_classes=3, seed=0)


def test_first_weights_depend_on_the_seed_alone_and_the_global_state_is_left():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (weights(build("cnn-small", n_classes=3, seed=s)) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("soft", [False, True])
def test_learns_hard_and_soft_labels_alike(soft):
    pixels, labels = coloured(96)
    targets = np.eye(3, dtype=np.float32)[labels] if soft else labels
    model = train(build("cnn-small", n_classes=3, seed=0), pixels, targets, training=QUICK, seed=0, progress=nothing)
    test_pixels, test_labels = coloured(60, seed=1)
    assert accuracy(predict(model, test_pixels), test_labels) > 0.9


def test_same_seed_same_model_and_progress_hears_every_step():
    pixels, labels = coloured(33)
    heard = []
    models = [
        train(
            build("cnn-small", n_classes=3, seed=0),
            pixels,
            labels,
            training=QUICK,
            seed=3,
            progress=lambda done, total: heard.append((done, total)),
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(weights(models[0]), weights(models[1]))
    assert heard[:6] == [(step, 6) for step in range(1, 7)]
    assert not models[0].training


def test_prediction_does_not_depend_on_its_batch():
    model = build("cnn-small", n_classes=3, seed=0)
    pixels = coloured(5)[0]
    np.testing.assert_allclose(predict(model, pixels, batch_size=2), predict(model, pixels), atol=1e-5)


@pytest.mark.parametrize(
    ("pixels", "targets"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), np.zeros(4, np.int64)),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int64)),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.float32)),
        (np.zeros((4, 8, 8, 3), np.uint8), np.full((4, 3), np.nan, np.float32)),
    ],
)
def test_targets_that_do_not_fit_are_refused(pixels, targets):
    model = build("cnn-small", n_classes=3, seed=0)
    with pytest.raises(InvalidInputError):
        train(model, pixels, targets, training=QUICK, seed=0, progress=nothing)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="epochs 0"):
        Training(epochs=0)


def test_a_copy_of_answers_answers_like_the_victim():
    pixels, labels = coloured(96)
    stolen = TransferSet(Queries(pixels, np.arange(96)), np.eye(3, dtype=np.float32)[labels])
    copy = copy_victim(stolen, adversary=Soft(), student=Student(training=QUICK), seed=0, progress=nothing)
    assert accuracy(predict(copy, pixels), labels) > 0.9


def test_copies_side_by_side_are_those_of_one_after_the_other():
    pixels, labels = coloured(66)
    stolen = TransferSet(Queries(pixels, np.arange(66)), np.eye(3, dtype=np.float32)[labels])
    plan, told = [(stolen.first(n), seed) for n in (33, 66) for seed in (1, 2)], []
    student = Student(training=QUICK)
    together = copy_side_by_side(
        plan, adversary=Soft(), student=student, n_at_once=3, progress=lambda done, total: told.append(done / total)
    )
    for model, (answers, seed) in zip(together, plan, strict=True):
        alone = copy_victim(answers, adversary=Soft(), student=student, seed=seed, progress=nothing)
        np.testing.assert_array_equal(predict(model, pixels), predict(alone, pixels))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_an_interrupt_ends_every_training_at_its_next_step():
    pixels, labels = coloured(66)
    stolen = TransferSet(Queries(pixels, np.arange(66)), np.eye(3, dtype=np.float32)[labels])
    steps = []

    def interrupted(done: int, _total: int) -> None:
        steps.append(done)
        if len(steps) == 5:
            raise KeyboardInterrupt

    endless = Student(training=Training(epochs=100_000))
    with pytest.raises(KeyboardInterrupt):
        copy_side_by_side([(stolen, 1), (stolen, 2)], adversary=Soft(), student=endless, n_at_once=2, progress=interrupted)
    assert len(steps) < 50


@pytest.mark.parametrize("optimiser", list(Optimiser))
def test_every_optimiser_learns(optimiser):
    pixels, labels = coloured(96)
    plan = Training(epochs=12, lr=0.02 if optimiser is Optimiser.SGD else 3e-3, batch_size=16, optimiser=optimiser)
    model = train(build("cnn-small", n_classes=3, seed=0), pixels, labels, training=plan, seed=0, progress=nothing)
    assert accuracy(predict(model, pixels), labels) > 0.9


def test_rate_drops_when_the_plan_says_and_by_as_much():
    """A rate of nothing after the first epoch leaves the weights as they were after it."""
    pixels, labels = coloured(64)

    def trained(epochs, drop_every):
        plan = Training(
            epochs=epochs, lr=0.1, weight_decay=0, batch_size=16, optimiser=Optimiser.SGD, drop_every=drop_every, drop_to=1e-12
        )
        return weights(train(build("cnn-small", n_classes=3, seed=0), pixels, labels, training=plan, seed=0, progress=nothing))

    np.testing.assert_allclose(trained(3, 1), trained(1, 1), atol=1e-6)
    assert np.abs(trained(3, 2) - trained(1, 2)).max() > 1e-3


def test_schedule_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="drop_every 0"):
        Training(drop_every=0)
    with pytest.raises(ConfigError, match="has no ImageNet weights here"):
        build("cnn-small", n_classes=3, seed=0, weights=Weights.IMAGENET)
