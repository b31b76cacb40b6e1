"""The baseline sees sharpness and not content, and what a plane cannot see; it stands at the rate that is asked."""

import numpy as np
import pytest
from PIL import Image

from evaluation.baseline import READERS, Traces
from guard.errors import InvalidInputError


def noise(n: int, *, seed: int, blur: bool = False) -> np.ndarray:
    images = np.random.default_rng(seed).integers(0, 256, (n, 24, 24, 3), dtype=np.uint8)
    if not blur:
        return images
    small = [Image.fromarray(i).resize((12, 12), Image.Resampling.BILINEAR) for i in images]
    return np.stack([np.asarray(i.resize((24, 24), Image.Resampling.BILINEAR)) for i in small])


def textures(contrasts: np.ndarray, *, seed: int) -> np.ndarray:
    noisy = np.random.default_rng(seed).normal(128, contrasts[:, None, None, None], (len(contrasts), 24, 24, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def test_sees_blur_and_nothing_where_there_is_no_trace() -> None:
    traced = Traces.of(noise(300, seed=0), noise(300, seed=1, blur=True), seed=0)
    assert traced.measure(0.05, seed=0).tpr.value > 0.95
    plain = Traces.of(noise(300, seed=0), noise(300, seed=2), seed=0).measure(0.05, seed=0)
    assert plain.tpr.low < 0.1
    assert 0.4 < plain.auroc < 0.6


def test_out_images_on_both_sides_of_the_in_ones_are_seen_by_all_but_the_plane() -> None:
    inside = textures(np.full(200, 30.0), seed=0)
    traces = Traces.of(inside, textures(np.repeat([15.0, 50.0], 100), seed=1), seed=0)
    flagged = {name: (traces.outside[name] > np.quantile(traces.inside[name], 0.95)).mean() for name in READERS}
    assert flagged["linear"] < 0.8
    assert min(flagged["squares"], flagged["trees"]) > 0.95
    assert traces.strongest() != "linear"
    assert traces.measure(0.05, seed=0).tpr.value >= max(flagged.values())


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.125, 0.5])
def test_flags_at_most_the_share_of_in_images_that_is_asked(fpr: float) -> None:
    traces = Traces.of(noise(80, seed=0), textures(np.full(80, 60.0), seed=1), seed=0)
    found = traces.measure(fpr, seed=0)
    assert found.fpr.value <= fpr
    assert found.fpr.count >= int(fpr * 80) - 2  # trees give the same score to several
    assert found.tpr.count == traces.flags(fpr).sum()


def test_no_image_is_judged_by_what_learned_from_it() -> None:
    """Labels drawn at random: trees that had seen them would part them."""
    images = noise(400, seed=5)
    assert Traces.of(images[:200], images[200:], seed=0).auroc < 0.65


def drawn(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Traces, np.ndarray, np.ndarray]:
    """A baseline and a detector with normal scores, correlated over images; the out ones are 1 and 1.5 higher."""
    sides = []
    for n, shifts in ((n_in, (0, 0)), (n_out, (1.0, 1.5))):
        both = rng.multivariate_normal(shifts, [[1, 0.5], [0.5, 1]], n).astype(np.float32)
        sides.append(both)
    traces = Traces({"linear": sides[0][:, 0]}, {"linear": sides[1][:, 0]})
    return traces, sides[0][:, 1] > 1.645, sides[1][:, 1] > 1.645


def test_interval_of_a_margin_holds_the_truth() -> None:
    """With a detector's threshold at 5 %: .4424 of out images less .2595, by the normal distribution."""
    rng = np.random.default_rng(0)
    found = [traces.margin(inside, outside, seed=0) for traces, inside, outside in (drawn(rng, 1000, 1000) for _ in range(100))]
    held = sum(m.low < 0.1829 < m.high for m in found)
    assert 88 <= held <= 100
    assert np.mean([m.value for m in found]) == pytest.approx(0.183, abs=0.01)


def test_same_seed_same_scores() -> None:
    sides = noise(40, seed=0), noise(40, seed=1)
    first, second = (Traces.of(*sides, seed=3) for _ in range(2))
    assert all(np.array_equal(first.outside[name], second.outside[name]) for name in READERS)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"9 in and 40 out images are too few .* at least 10"):
        Traces.of(noise(9, seed=0), noise(40, seed=1), seed=0)
