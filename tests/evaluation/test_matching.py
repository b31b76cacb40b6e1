"""The matched chain is chosen by what the baseline can still see, and takes a resampling filter away with it."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from evaluation.baseline import Traces
from evaluation.matching import Matching, Sample, Search, match
from guard.chain import Chain
from guard.errors import InvalidInputError
from guard.history import History, Kernel


def scenes(n: int, *, seed: int) -> list[np.ndarray]:
    """Smooth random images at 64 pixels with some texture: one distribution, so that only their history can tell two sets."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
        made.append(np.clip(np.asarray(coarse) + rng.normal(0, 30, (64, 64, 3)), 0, 255).astype(np.uint8))
    return made


def sample(images: list[np.ndarray], quality: int | None = None) -> Sample:
    return Sample(images, len(images), min(min(image.shape[:2]) for image in images), quality)


@pytest.fixture(scope="module")
def matching() -> Matching:
    inside = sample(History(32, Kernel.BICUBIC, 75).apply(scenes(120, seed=1)), 75)
    return match(inside, sample(scenes(120, seed=2)), Search((32, 32), seed=0))


def test_filter_and_codec_of_the_smaller_source_are_taken_over(matching: Matching) -> None:
    assert matching.history == History(32, Kernel.BICUBIC, 75)
    tried = {trial.kernel: trial.baseline.auroc for trial in matching.trials[: len(Kernel)]}
    assert tried[Kernel.BICUBIC] == min(tried.values()) < 0.6 < max(tried.values())


def test_chain_hides_from_the_baseline_what_it_saw_before(matching: Matching) -> None:
    inside, outside = History(32, Kernel.BICUBIC, 75).apply(scenes(120, seed=3)), scenes(120, seed=4)
    box = Chain(27, (32, 32))
    traced = Traces.of(box.apply(inside, seed=0), box.apply(outside, seed=1), seed=0)
    left = Traces.of(matching.apply(inside, seed=0), matching.apply(outside, seed=1), seed=0)
    assert traced.auroc > 0.8
    assert left.auroc < 0.65


def test_chain_is_described_with_all_its_steps(matching: Matching) -> None:
    said = matching.describe()
    for part in ("32 px", "bicubic", "JPEG 75", f"{matching.chain.side} px", "70 to 95"):
        assert part in said


def test_side_that_the_file_gives_is_not_searched() -> None:
    source = sample(scenes(60, seed=5))
    assert match(source, sample(scenes(60, seed=6)), Search((32, 32), side=20)).chain.side == 20


def test_images_too_small_to_be_reduced_are_refused() -> None:
    source = sample([np.zeros((10, 10, 3), np.uint8)] * 50)
    with pytest.raises(InvalidInputError, match="at least 15 pixels"):
        match(source, source, Search((32, 32)))


def test_baseline_of_a_matching_is_that_of_the_trial_it_chose(matching: Matching) -> None:
    assert matching.baseline in [t.baseline for t in matching.trials if t.side == matching.chain.side]
    spec = matching.spec()
    assert (spec.source_px, spec.kernel, spec.source_quality, spec.side_px) == (32, "bicubic", 75, matching.chain.side)
    assert (spec.baseline_auroc, spec.n_in, spec.n_out) == (matching.baseline.auroc, 120, 120)
    assert f"AUROC {spec.baseline_auroc:.3f}" in matching.left()


def test_images_are_gone_through_twice_and_none_is_kept() -> None:
    """A pool of large photographs does not fit into memory: each trial must not ask for them again, nor hold them."""
    images = scenes(60, seed=7)
    asked: list[int] = []

    class Once:
        def __iter__(self) -> Iterator[np.ndarray]:
            asked.append(len(images))
            return (image.copy() for image in images)

    matching = match(Sample(Once(), 60, 64, None), sample(scenes(60, seed=8)), Search((32, 32)))
    assert len(asked) == 2
    assert matching == match(sample(images), sample(scenes(60, seed=8)), Search((32, 32)))


def test_sources_are_cut_to_a_wide_model_before_they_are_reduced() -> None:
    wide = match(sample(scenes(60, seed=9)), sample(scenes(60, seed=10)), Search((32, 64)))
    assert (wide.history.side, wide.history.shape) == (32, (1, 2))
    assert wide.chain.side <= int(0.85 * 32), "of a square picture of 64 pixels a wide model sees 32"
    assert wide.apply(scenes(2, seed=11), seed=0).shape == (2, 32, 64, 3)
    with pytest.raises(InvalidInputError, match=r"images of 24 pixels .* at least 29 pixels"):
        match(sample([np.zeros((24, 24, 3), np.uint8)] * 20), sample(scenes(20, seed=1)), Search((32, 64)))
