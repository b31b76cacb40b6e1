"""The Adversarial Robustness Toolbox against a gateway: its extraction attacks see the served model as a black box.

    with gateway_classifier("127.0.0.1:8001", "model") as victim:
        attack = KnockoffNets(victim, nb_stolen=2000, batch_size_query=256, use_probability=True)
        copy = attack.extract(images, thieved_classifier=PyTorchClassifier(...))

To ART an image is (3, height, width) float32 in [0, 1]. It is sent as the grey levels it came from, so what a client could not
put into a file, such as half a grey level, does not reach the model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from evaluation.authorisation import check_authorised
from evaluation.interop.libraries import library
from evaluation.target import Target, look_up
from grpc_api.blocking import BlockingClient
from guard.errors import InvalidInputError, PermissionDeniedError
from guard.types import Floats, Pixels

_ROWS, _WINDOW = 16, 8  # rows in a request, and requests under way


@contextmanager
def gateway_classifier(
    address: str, model: str, *, api_key: str | None = None, authorised_by: str | None = None
) -> Iterator[Any]:
    """Yield an ART `BlackBoxClassifier` whose `predict` asks a gateway, or any V2 server, for (n, k) probabilities.

    `authorised_by` names who allowed the attack; PermissionDeniedError if an address other than loopback comes without it.
    ConfigError without ART. `predict` raises what the client raises, and PermissionDeniedError where the gateway's policy is to
    refuse: ART takes every query for answered.
    """
    check_authorised(address, authorised_by)
    classifiers = library("art.estimators.classification", distribution="adversarial-robustness-toolbox")
    with BlockingClient(address, api_key=api_key) as client:
        target = client.run(look_up(client.client, model))
        yield classifiers.BlackBoxClassifier(
            lambda images: _answers(client, target, images),
            input_shape=(3, *target.size),
            nb_classes=target.n_classes,
            clip_values=(0.0, 1.0),
        )


def grey_levels(images: Floats) -> Pixels:
    """Return (n, h, w, 3) uint8 of (n, 3, h, w) floats in [0, 1]; what lies outside is cut, InvalidInputError if not finite."""
    if not np.isfinite(images).all():
        raise InvalidInputError("an image holds values that are not finite; no file could carry them")
    return np.moveaxis(np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8), 1, 3)


def _answers(client: BlockingClient, target: Target, images: Floats) -> Floats:
    """Return (n, k) float32, as many requests under way as a replay has."""
    pixels = grey_levels(images)

    async def ask() -> list[Floats]:
        batches = (pixels[start : start + _ROWS] for start in range(0, len(pixels), _ROWS))
        return [a async for a in client.client.ask(target.model, target.input_name, batches, window=_WINDOW)]

    try:
        return np.concatenate(client.run(ask()))
    except PermissionDeniedError:
        raise PermissionDeniedError(
            f"{target.model!r} refuses some of these queries, which ART takes for answered; use `knockguard attack` instead"
        ) from None
