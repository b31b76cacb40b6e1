"""The proxy in front of a real MLServer, a real KServe and a real Triton: fused upstream, and the detector beside the gateway."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import numpy as np
import onnx
import peers
import pytest
from tiny_bundle import rows_of, tiny_manifest, tiny_model

from grpc_api.backends.answer import Answer
from grpc_api.backends.embedded import Embedded
from grpc_api.backends.proxy import Proxy
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Address, Upstream
from guard.bundle import Bundle
from guard.errors import NotLoadedError, RequestError, UnavailableError

pytestmark = pytest.mark.peer

BUNDLE = Bundle(tiny_manifest(model=tiny_model()), tiny_model())
ROWS = np.concatenate([rows_of(0.1, 2), rows_of(0.9)])
Start = Callable[[bytes, Path], AbstractContextManager[str]]


def start_mlserver(model: bytes, folder: Path) -> AbstractContextManager[str]:
    return peers.mlserver(Bundle(BUNDLE.manifest, model), folder)


SERVERS: dict[str, Start] = {"mlserver": start_mlserver, "kserve": peers.kserve, "triton": peers.triton}


@pytest.mark.parametrize("server", SERVERS)
def test_real_server_with_the_fused_model_answers_as_the_embedded_one(server: str, tmp_path: Path) -> None:
    with SERVERS[server](BUNDLE.model, tmp_path) as address, closing(proxy(address)) as made:
        assert made.ready
        for found, expected in zip(made.infer(ROWS), Embedded(BUNDLE, provider="cpu").infer(ROWS), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        with pytest.raises((RequestError, UnavailableError)) as caught:
            made.infer(np.zeros((1, 3, 5, 5), np.float32))
        assert type(caught.value) is not NotLoadedError
        assert len(made.infer(ROWS)[0]) == 3  # and it goes on


@pytest.mark.parametrize("server", ["kserve", "triton"])
def test_real_server_with_the_plain_model_and_scores_from_beside(server: str, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(BUNDLE.model)
    del model.graph.output[1]
    scorer = Scorer(BUNDLE, provider="cpu")
    with SERVERS[server](model.SerializeToString(), tmp_path) as address, closing(proxy(address, scorer=scorer)) as made:
        for found, expected in zip(made.infer(ROWS), Embedded(BUNDLE, provider="cpu").infer(ROWS), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_model_that_the_server_does_not_hold_is_not_there(tmp_path: Path) -> None:
    with peers.kserve(BUNDLE.model, tmp_path) as address, closing(proxy(address, model="another")) as made:
        assert not made.ready
        with pytest.raises(NotLoadedError):
            made.infer(ROWS)


def proxy(address: str, *, model: str = "tiny", scorer: Scorer | None = None) -> Proxy:
    return Proxy(BUNDLE.manifest, Upstream(Address(address, model=model)), Answer("probabilities"), scorer)
