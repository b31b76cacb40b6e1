"""The file that says what each tenant may ask for: a default, and tenants who have an allowance of their own.

[default]
rows_per_s = 50
burst_rows = 256
quota_rows = 20_000   # a day

[tenants.shop]        # in place of the default, all of it
rows_per_s = 500
burst_rows = 1024
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from grpc_api.identity.base import TENANT
from grpc_api.section import Section
from guard.errors import ConfigError
from guard.evidence.allowance import Allowance
from guard.settings import explain, keys_of
from guard.toml_file import read_toml

_MAX_BYTES = 4 << 20


class AllowanceTable(Section):
    """One table of the file; what is left out bounds nothing."""

    rows_per_s: Annotated[float | None, Field(gt=0, le=1e6)] = None
    burst_rows: Annotated[int | None, Field(ge=1, le=1 << 20)] = None
    quota_rows: Annotated[int | None, Field(ge=1, le=10**12)] = None
    window_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 24.0

    @model_validator(mode="after")
    def _whole(self) -> "AllowanceTable":
        if (self.rows_per_s is None) != (self.burst_rows is None):
            raise ValueError("rows_per_s and burst_rows go together: what is gained in a second, and how many rows at once")
        if "window_hours" in self.model_fields_set and self.quota_rows is None:
            raise ValueError("window_hours is the quota's, and there is none; give quota_rows")
        return self

    @property
    def allowance(self) -> Allowance:
        return Allowance(self.rows_per_s, self.burst_rows or 0, self.quota_rows, self.window_hours * 3600)


class AllowancesFile(Section):
    """The whole file."""

    default: AllowanceTable = AllowanceTable()
    tenants: Annotated[dict[Annotated[str, Field(pattern=f"^{TENANT}$")], AllowanceTable], Field(max_length=1 << 16)] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Allowances:
    """What each tenant may ask for."""

    default: Allowance
    tenants: Mapping[str, Allowance]

    @classmethod
    def read(cls, path: Path) -> "Allowances":
        """Read a TOML file; ConfigError says what is wrong with it and where."""
        document = read_toml(path, whose="the tenants' limits at", kind="tenants' limits", max_bytes=_MAX_BYTES)
        try:
            written = AllowancesFile.model_validate(document)
        except ValidationError as error:
            raise ConfigError(f"{path}: {explain(error, keys_of(AllowancesFile))}") from None
        return cls(written.default.allowance, {name: table.allowance for name, table in written.tenants.items()})

    def of(self, tenant: str) -> Allowance:
        """Return a tenant's own allowance, or the default."""
        return self.tenants.get(tenant, self.default)
