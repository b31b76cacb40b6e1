"""Running graphs offline."""

import numpy as np
import pytest

from exporters.runtime import open_session, run
from guard.errors import ConfigError, GraphError


@pytest.fixture(scope="module")
def model(small_path):
    return small_path.read_bytes()


def test_batches_and_one_array_agree(model, images):
    whole = run(model, images, batch_size=3)
    parts = run(model, iter([images[:2], images[2:]]))
    assert set(whole) == {"logits", "stage1", "stage2"}
    for name, array in whole.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, parts[name], rtol=1e-5, atol=1e-6)


def test_only_what_was_asked_for_comes_back(model, images):
    assert list(run(model, images, outputs=["stage2"])) == ["stage2"]


def test_no_rows_keep_their_shape(model, images):
    for nothing in (images[:0], []):
        answers = run(model, nothing)
        assert answers["logits"].shape == (0, 5)
        assert answers["stage1"].shape == (0, 8, 8, 8)


def test_progress_counts_images(model, images):
    heard = []
    run(model, images, batch_size=3, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(3, 7), (6, 7), (7, 7)]


def test_unknown_output_hears_the_nearest(model, images):
    with pytest.raises(GraphError, match="no output 'logit'; did you mean 'logits'"):
        run(model, images, outputs=["logit"])


def test_wrong_shape_names_what_was_given(model):
    with pytest.raises(GraphError, match=r"cannot run on image \(2, 4, 16, 16\)"):
        run(model, np.zeros((2, 4, 16, 16), np.float32))


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(GraphError, match="ONNX Runtime cannot load the graph"):
        open_session(b"not a model")


def test_batch_size_is_positive(model, images):
    with pytest.raises(ConfigError, match="batch_size is 0; it must be at least 1"):
        run(model, images, batch_size=0)
