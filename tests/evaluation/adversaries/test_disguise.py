"""Sybil and matched: they ask otherwise, believe as another does, and combine."""

import numpy as np
import pytest

from evaluation.adversaries.labels_only import LabelsOnly
from evaluation.adversaries.matched import Matched
from evaluation.adversaries.sybil import Sybil
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError
from guard.images import reencode


def queries() -> Queries:
    return Queries(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8), np.arange(6))


def test_identities_share_the_queries_evenly_and_go_on_where_they_were():
    sybil = Sybil(identities=3)
    clients = np.concatenate([sybil.client_of(0, 4), sybil.client_of(4, 5)])
    np.testing.assert_array_equal(clients, [0, 1, 2] * 3)


def test_sybil_in_front_of_averaging_asks_its_copies():
    sybil = Sybil(believes="averaging")
    assert sybil.n_copies == 5
    assert len(sybil.expand(queries())) == 30


def test_a_disguise_believes_what_the_one_behind_it_does():
    transfer = TransferSet(queries(), np.random.default_rng(0).dirichlet(np.ones(3), 6).astype(np.float32))
    expected = LabelsOnly().lesson(transfer).targets
    for disguise in (Sybil(believes="labels-only"), Matched(believes="labels-only")):
        np.testing.assert_array_equal(disguise.lesson(transfer).targets, expected)
    with pytest.raises(ConfigError, match="did you mean 'soft'"):
        Sybil(believes="sof").lesson(transfer)


def test_matched_queries_are_what_the_codec_leaves():
    asked = Matched(quality=60).expand(queries())
    np.testing.assert_array_equal(asked.pixels[2], reencode(queries().pixels[2], quality=60))
    np.testing.assert_array_equal(asked.sources, queries().sources)


def test_matched_to_a_lower_resolution_holds_no_finer_detail():
    """White noise of one side loses almost all of its contrast on the way to a quarter of it."""
    asked = Matched(side=4, quality=None).expand(queries())
    assert asked.pixels.shape == queries().pixels.shape
    assert asked.pixels.std() < queries().pixels.std() / 2


def test_matching_nothing_is_refused():
    with pytest.raises(ConfigError, match="nothing is matched"):
        Matched(quality=None)
