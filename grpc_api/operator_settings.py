"""Settings of what stands beside the service for whoever runs it: the audit log and the admin service."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from grpc_api.section import File, Port, Section


class TelemetrySettings(Section):
    """`[telemetry]`: how the gateway tells what it does; metrics are always there."""

    log_format: Annotated[Literal["json", "text"], Field(description="lines of JSON, or text for people")] = "json"
    traces: Annotated[
        bool, Field(description="a span for every query, sent where OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra otel")
    ] = False


class AuditSettings(Section):
    """`[audit]`: a line of JSON for every row that is decided; see the audit log's page."""

    folder: Annotated[File | None, Field(description="where its files are kept; none is kept without it")] = None
    max_queue_rows: Annotated[int, Field(ge=1, le=1 << 24, description="rows that may wait to be written")] = 65_536
    max_file_mib: Annotated[float, Field(gt=0, le=1 << 20, description="MiB at which the next file is begun")] = 64.0
    max_file_minutes: Annotated[float, Field(gt=0, le=1 << 20, description="minutes after which the next file is begun")] = 60.0
    sync_s: Annotated[float, Field(gt=0, le=3600, description="seconds until a line is on the disk for sure")] = 1.0


class AdminSettings(Section):
    """`[admin]`: the operator's service, on loopback or on a socket of the gateway's user; see the admin page."""

    port: Annotated[Port | None, Field(description="its port, on loopback; 0 takes a free one")] = None
    keys_file: Annotated[File | None, Field(description="who may use the port: lines of name:sha256-of-key")] = None
    socket: Annotated[File | None, Field(description="its Unix socket, which needs no key and lets in its owner alone")] = None

    @model_validator(mode="after")
    def _port_has_keys(self) -> "AdminSettings":
        if (self.port is None) != (self.keys_file is None):
            raise ValueError("port and keys_file go together: whoever reaches the port needs a key; or give a socket instead")
        return self

    @property
    def is_on(self) -> bool:
        return self.port is not None or self.socket is not None
