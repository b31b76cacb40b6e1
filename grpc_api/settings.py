"""What a gateway is told, by flags and by a TOML file: typed, frozen, checked once. docs/generated/settings.md shows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from grpc_api.failing import FailingSettings
from grpc_api.identity.base import TENANT
from grpc_api.operator_settings import AdminSettings, AuditSettings, TelemetrySettings
from grpc_api.section import File, Port, Section
from grpc_api.tenant_settings import TenantLimitSettings
from guard.errors import ConfigError
from guard.settings import explain, keys_of
from guard.toml_file import read_toml
from guard.types import ApplyTo

MAX_FILE_BYTES = 1 << 20


class ClientSettings(Section):
    """`[clients]`: who may ask."""

    api_keys_file: Annotated[File | None, Field(description="lines of tenant:sha256-of-key; read again when it changes")] = None
    certificates_file: Annotated[
        File | None,
        Field(description="lines of tenant:subject-alternative-name of clients' certificates; read again when it changes"),
    ] = None
    trusted_header: Annotated[
        str | None,
        Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="metadata in which a mesh tells the tenant"),
    ] = None
    trusted_tenants: Annotated[
        tuple[Annotated[str, Field(pattern=rf"^{TENANT}$")], ...],
        Field(max_length=4096, description="tenants that it may tell"),
    ] = ()
    anonymous: Annotated[
        bool,
        Field(description="anybody who reaches the port may ask; to be said where that is more than this machine"),
    ] = False


class TlsSettings(Section):
    """`[tls]`: what the port is opened with; files are read again when they change."""

    certificate_file: Annotated[File | None, Field(description="the gateway's certificate and its chain, PEM")] = None
    key_file: Annotated[File | None, Field(description="its private key, PEM")] = None
    client_ca_file: Annotated[
        File | None, Field(description="authority of clients' certificates, PEM; with it, nobody connects without one")
    ] = None

    @model_validator(mode="after")
    def _whole(self) -> "TlsSettings":
        if (self.certificate_file is None) != (self.key_file is None) or (self.client_ca_file and not self.certificate_file):
            raise ValueError("give certificate_file and key_file together, and client_ca_file only beside them")
        return self


class LimitSettings(Section):
    """`[limits]`: what is bounded, so that no client can have all of the memory, the queue or the model."""

    max_batch_rows: Annotated[int, Field(ge=1, le=4096, description="rows of one inference; a larger request goes alone")] = 32
    max_delay_ms: Annotated[float, Field(ge=0, le=1000, description="how long a batch that is not full waits for more")] = 0.0
    max_queue_rows: Annotated[int, Field(ge=1, le=1 << 20, description="rows that may wait for inference")] = 1024
    max_request_rows: Annotated[int, Field(ge=1, le=1 << 16, description="rows of one request")] = 256
    max_message_mib: Annotated[int, Field(ge=1, le=1024, description="MiB of one message")] = 64
    max_inflight_mib: Annotated[
        int, Field(ge=1, le=1 << 20, description="MiB of all requests under way, as sent and as float32; one is always let in")
    ] = 1024
    max_calls: Annotated[int, Field(ge=1, le=1 << 16, description="calls under way at once")] = 256
    max_streams: Annotated[int, Field(ge=1, le=1 << 16, description="health watches and reflections open at once")] = 32

    @model_validator(mode="after")
    def _largest_request_fits(self) -> "LimitSettings":
        if self.max_request_rows > self.max_queue_rows:
            raise ValueError(
                f"max_request_rows {self.max_request_rows} is over max_queue_rows {self.max_queue_rows}, so the largest requests "
                "would never be answered; lower the one or raise the other"
            )
        return self


class ImageSettings(Section):
    """`[images]`: JPEG and PNG files that are sent as inputs."""

    max_mib: Annotated[int, Field(ge=1, le=1024, description="MiB of one file")] = 8
    max_megapixels: Annotated[float, Field(gt=0, le=1000, description="million pixels of one image")] = 16.0
    max_request_megapixels: Annotated[float, Field(gt=0, le=4000, description="million pixels of all images of a request")] = 64.0

    @model_validator(mode="after")
    def _largest_image_fits(self) -> "ImageSettings":
        if self.max_megapixels > self.max_request_megapixels:
            raise ValueError(
                f"max_megapixels {self.max_megapixels} is over max_request_megapixels {self.max_request_megapixels}; "
                "lower the one or raise the other"
            )
        return self


class UpstreamSettings(Section):
    """`[upstream]`: a V2 server behind the gateway that computes the model; without an address it computes here."""

    address: Annotated[
        str | None, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", description="host:port of its gRPC port")
    ] = None
    model: Annotated[str | None, Field(max_length=128, description="the model's name there; the bundle's by default")] = None
    version: Annotated[str, Field(max_length=32, description="the model's version there; what the server takes by default")] = ""
    output: Annotated[str | None, Field(max_length=256, description="its output with the answer; the bundle's by default")] = None
    logits: Annotated[bool, Field(description="that output is logits; clients get probabilities")] = False
    scores: Annotated[
        Literal["upstream", "bundle"],
        Field(description="where scores come from: the fused model there, or the bundle's own graph here, beside a plain model"),
    ] = "upstream"
    max_rows: Annotated[
        int,
        Field(
            ge=0,
            le=4096,
            description="rows at once, Triton's max_batch_size; more go in parts; 0 is what a message holds",
        ),
    ] = 0
    timeout_s: Annotated[float, Field(gt=0, le=600, description="seconds that a call may take, if its caller waits longer")] = (
        10.0
    )
    ca_file: Annotated[
        File | None, Field(description="certificates to know it by; without them the connection is in the clear")
    ] = None

    @model_validator(mode="after")
    def _nothing_of_an_upstream_that_is_not_there(self) -> "UpstreamSettings":
        if self.address is None and (given := sorted(self.model_fields_set - {"address"})):
            raise ValueError(f"{given[0]} is of an upstream, and there is none; give its address, --upstream HOST:PORT")
        return self


class GatewaySettings(Section):
    """Defaults are the safe ones: loopback, the bundle's own policy, bounded calls, queue, messages and drain."""

    bundles: Annotated[tuple[File, ...], Field(min_length=1, max_length=64, description="the bundles' folders")]
    host: Annotated[str, Field(description="address to listen on; 0.0.0.0 for all")] = "127.0.0.1"
    port: Annotated[Port, Field(description="gRPC port; 0 takes a free one")] = 8001
    metrics_host: Annotated[str, Field(description="address of the metrics, which tell what is flagged")] = "127.0.0.1"
    metrics_port: Annotated[Port, Field(description="Prometheus port")] = 8002
    policy: Annotated[str | None, Field(description="what a flagged query is answered; the bundle's own by default")] = None
    policy_options: Annotated[dict[str, float | int | str | bool], Field(description="options of the policy")] = {}  # noqa: RUF012
    apply_to: Annotated[ApplyTo | None, Field(description="who gets the policy's answer: flagged, all or nobody")] = None
    rules_file: Annotated[
        File | None, Field(description="policies by flag, tenant and model, in place of policy and apply_to")
    ] = None
    secret_file: Annotated[File | None, Field(description="the guard's secret, as `knockguard secret` writes it")] = None
    provider: Annotated[Literal["auto", "cuda", "cpu"], Field(description="what computes; cuda insists on it")] = "auto"
    threads: Annotated[
        int, Field(ge=0, le=1024, description="threads of one inference; 0 is one a core, the cores shared among the workers")
    ] = 0
    unguarded: Annotated[
        bool, Field(description="serve bundles whose threshold no calibration stands behind, such as those that flag nothing")
    ] = False
    workers: Annotated[int, Field(ge=1, le=256, description="processes that share the port, each with models of its own")] = 1
    drain_s: Annotated[float, Field(ge=0, le=600, description="seconds that calls under way have once SIGTERM came")] = 10.0
    ready_file: Annotated[File | None, Field(description="written with the ports once queries are answered")] = None
    clients: ClientSettings = ClientSettings()
    tls: TlsSettings = TlsSettings()
    limits: LimitSettings = LimitSettings()
    tenant_limits: TenantLimitSettings = TenantLimitSettings()
    images: ImageSettings = ImageSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    failing: FailingSettings = FailingSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    audit: AuditSettings = AuditSettings()
    admin: AdminSettings = AdminSettings()

    @model_validator(mode="after")
    def _header_has_tenants(self) -> "GatewaySettings":
        if (self.clients.trusted_header is None) != (not self.clients.trusted_tenants):
            raise ValueError("clients.trusted_header and clients.trusted_tenants belong together; give both or neither")
        return self

    @model_validator(mode="after")
    def _one_way_to_choose_a_policy(self) -> "GatewaySettings":
        if self.rules_file is not None and (self.policy, self.apply_to, self.policy_options) != (None, None, {}):
            raise ValueError("rules_file stands in place of policy, policy_options and apply_to; give the one or the others")
        return self

    @model_validator(mode="after")
    def _nothing_fails_that_is_not_there(self) -> "GatewaySettings":
        if self.upstream.address is None and (given := sorted(self.failing.model_fields_set)):
            raise ValueError(
                f"failing.{given[0]} is of an upstream and its detector, and there is none: a model here fails with "
                "its detector; leave it out, or give upstream.address"
            )
        return self

    @model_validator(mode="after")
    def _one_bundle_for_one_model_upstream(self) -> "GatewaySettings":
        if self.upstream.model is not None and len(self.bundles) > 1:
            raise ValueError(
                f"upstream.model is one name for {len(self.bundles)} bundles; leave it out, and each is asked for by its own name"
            )
        return self

    @classmethod
    def of(cls, given: Mapping[str, object], *, file: Path | None = None) -> "GatewaySettings":
        """Check a TOML file's settings with what was `given` over them, under names such as "limits.max_calls".

        ConfigError names each bad key, its value, and for a typo the nearest good one.
        """
        document = {} if file is None else read_toml(file, whose="the settings at", kind="settings", max_bytes=MAX_FILE_BYTES)
        for name, value in given.items():
            *section, key = name.split(".")
            table = document
            for part in section:
                table = table.setdefault(part, {})
                if not isinstance(table, dict):
                    raise ConfigError(f"{file}: {part} must be a table, [{part}]")
            table[key] = _from_here(value)
        try:
            return cls.model_validate(document, context=None if file is None else file.absolute().parent)
        except ValidationError as error:
            raise ConfigError(f"{'' if file is None else f'{file}: '}{explain(error, keys_of(cls))}") from None


def _from_here(value: object) -> object:
    """Return a flag's value; its paths are relative to where the command was given, whatever file stands beside it."""
    if isinstance(value, list | tuple):
        return [_from_here(item) for item in value]
    return value.absolute() if isinstance(value, Path) else value
