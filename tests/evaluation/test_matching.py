"""The matched chain is chosen by what the baseline can still see, and takes a resampling filter away with it."""

import numpy as np
import pytest
from PIL import Image

from evaluation.baseline import Traces
from evaluation.matching import Matching, Search, Source, match
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


@pytest.fixture(scope="module")
def matching() -> Matching:
    inside = Source(History(32, Kernel.BICUBIC, 75).apply(scenes(120, seed=1)), 75)
    return match(inside, Source(scenes(120, seed=2), None), Search((32, 32), seed=0))


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
    source = Source(scenes(60, seed=5), None)
    assert match(source, Source(scenes(60, seed=6), None), Search((32, 32), side=20)).chain.side == 20


def test_images_too_small_to_be_reduced_are_refused() -> None:
    source = Source([np.zeros((10, 10, 3), np.uint8)] * 50, None)
    with pytest.raises(InvalidInputError, match="at least 15 pixels"):
        match(source, source, Search((32, 32)))
