"""What a gateway is told: typed, frozen, checked once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from guard.errors import ConfigError
from guard.settings import explain, keys_of
from guard.types import ApplyTo

Port = Annotated[int, Field(ge=0, le=65535)]


class GatewaySettings(BaseModel):
    """Defaults are the safe ones: loopback, the bundle's own policy, bounded queue, messages and drain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: Annotated[tuple[Path, ...], Field(min_length=1, max_length=64)]
    host: str = "127.0.0.1"
    port: Port = 8001
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 8002
    policy: str | None = None  # the bundle's own
    policy_options: dict[str, float | int | str | bool] = {}
    apply_to: ApplyTo | None = None
    secret_file: Path | None = None
    api_keys_file: Path | None = None  # without it anybody may ask
    provider: Literal["auto", "cuda", "cpu"] = "auto"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0  # of one inference; 0 is one a core
    max_batch_rows: Annotated[int, Field(ge=1, le=4096)] = 32
    max_delay_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0  # how long a batch that is not full waits for more
    max_queue_rows: Annotated[int, Field(ge=1, le=1 << 20)] = 1024
    max_request_rows: Annotated[int, Field(ge=1, le=1 << 16)] = 256
    max_message_mib: Annotated[int, Field(ge=1, le=1024)] = 64
    max_image_mib: Annotated[int, Field(ge=1, le=1024)] = 8  # of one JPEG or PNG
    max_image_megapixels: Annotated[float, Field(gt=0, le=1000)] = 16.0
    max_request_megapixels: Annotated[float, Field(gt=0, le=4000)] = 64.0  # of all JPEG and PNG of one request
    drain_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    ready_file: Path | None = None

    @model_validator(mode="after")
    def _largest_request_fits(self) -> "GatewaySettings":
        if self.max_request_rows > self.max_queue_rows:
            raise ValueError(
                f"max_request_rows {self.max_request_rows} is over max_queue_rows {self.max_queue_rows}, so the largest requests "
                "would never be answered; lower the one or raise the other"
            )
        if self.max_image_megapixels > self.max_request_megapixels:
            raise ValueError(
                f"max_image_megapixels {self.max_image_megapixels} is over max_request_megapixels {self.max_request_megapixels}; "
                "lower the one or raise the other"
            )
        return self

    @classmethod
    def of(cls, given: Mapping[str, object]) -> "GatewaySettings":
        """Check what was given; ConfigError names each bad key, its value, and for a typo the nearest good one."""
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            raise ConfigError(explain(error, keys_of(cls))) from None
