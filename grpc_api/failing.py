"""What becomes of queries while something that the guard depends on does not answer."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from grpc_api.breaker import Patience
from grpc_api.section import Section


class FailMode(StrEnum):
    """What is done without a dependency. Closed: a setting, and a metric's label."""

    OPEN = "fail-open"  # the query goes on without it
    CLOSED = "fail-closed"  # the query is refused, UNAVAILABLE


class FailingSettings(Section):
    """`[failing]`: what is done while a dependency fails; see the page on failing."""

    detector: Annotated[
        FailMode,
        Field(description="without scores in a proxy: everybody is refused, or answered as if nothing were flagged"),
    ] = FailMode.CLOSED
    detector_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="seconds that scores beside the gateway may take, if the caller waits longer")
    ] = 10.0
    failures: Annotated[int, Field(ge=1, le=1000, description="failures in a row after which a dependency is left alone")] = 5
    probe_s: Annotated[float, Field(gt=0, le=600, description="seconds until it is tried again, doubled by each failure")] = 1.0
    max_probe_s: Annotated[float, Field(gt=0, le=3600, description="seconds between tries at most")] = 5.0

    @model_validator(mode="after")
    def _first_is_not_the_longest(self) -> "FailingSettings":
        if self.probe_s > self.max_probe_s:
            raise ValueError(f"probe_s {self.probe_s:g} is over max_probe_s {self.max_probe_s:g}; lower it, or raise the other")
        return self

    @property
    def patience(self) -> Patience:
        return Patience(self.failures, self.probe_s, self.max_probe_s)
