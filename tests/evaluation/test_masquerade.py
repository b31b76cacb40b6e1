"""Masquerades: what each leaves of the query and takes from an in image."""

import numpy as np
import pytest

from evaluation.masquerade import MASQUERADES, masquerade

RNG = np.random.default_rng(0)
OUT = RNG.integers(0, 120, (50, 16, 16, 3), dtype=np.uint8)
IN = RNG.integers(100, 256, (50, 16, 16, 3), dtype=np.uint8)
WHOLE = [name for name in MASQUERADES if name != "lookalikes alone"]


@pytest.mark.parametrize("name", MASQUERADES)
def test_is_seeded_leaves_its_inputs_and_returns_images(name: str) -> None:
    before = OUT.copy(), IN.copy()
    made = masquerade(name, OUT, IN, seed=1)
    assert (made.dtype, made.shape[1:]) == (np.uint8, OUT.shape[1:])
    assert len(made) == len(OUT) or name not in WHOLE
    assert np.array_equal(made, masquerade(name, OUT, IN, seed=1))
    assert np.array_equal(OUT, before[0])
    assert np.array_equal(IN, before[1])


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "as sent"])
def test_changes_the_queries(name: str) -> None:
    assert not np.array_equal(masquerade(name, OUT, IN, seed=1), OUT)


def test_as_sent_is_as_sent() -> None:
    assert np.array_equal(masquerade("as sent", OUT, IN, seed=1), OUT)


def test_blend_lies_between_query_and_in_image_by_its_share() -> None:
    one = IN[:1]
    made = masquerade("30 % of an in image blended in", OUT, one, seed=0)
    assert np.abs(made - (0.7 * OUT + 0.3 * one)).max() <= 0.5 + 1e-4


def test_patch_takes_its_share_of_the_area() -> None:
    made = masquerade("25 % of the area from an in image", np.zeros_like(OUT), np.full_like(IN, 255), seed=0)
    assert made.mean() / 255 == pytest.approx(0.25)


def test_frame_keeps_the_query_in_the_middle() -> None:
    made = masquerade("framed by an in image", np.zeros_like(OUT), np.full_like(IN, 255), seed=0)
    assert not made[:, 4:12, 4:12].any()
    assert (made[:, :2] == 255).all()


def test_colours_are_those_of_the_in_image() -> None:
    made = masquerade("colours of an in image", OUT, IN[:1], seed=0).astype(float)
    assert np.abs(made.mean(axis=(1, 2)) - IN[0].mean(axis=(0, 1))).max() < 4  # clipped at white, so not exactly


def test_coarse_spectrum_takes_the_light_and_keeps_the_shapes() -> None:
    made = masquerade("coarse spectrum of an in image", OUT, IN, seed=0).astype(float)
    assert made.mean() == pytest.approx(IN.mean(), abs=5)
    fine, own = (np.diff(images.astype(float), axis=2).ravel() for images in (made, OUT))
    assert np.corrcoef(fine, own)[0, 1] > 0.9
