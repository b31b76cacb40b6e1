"""Settings of what a tenant may ask for: where that is written, where it is counted, and what is done if the count is away."""

from typing import Annotated

from pydantic import Field, model_validator

from grpc_api.failing import FailMode
from grpc_api.section import File, Section
from guard.evidence.stores.base import Store
from guard.evidence.stores.redis_store import Place
from guard.evidence.stores.registry import STORES
from guard.registry import nearest


class RedisSettings(Section):
    """`[tenant_limits.redis]`: where the store `redis` counts; needs the extra redis."""

    address: Annotated[
        str | None, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", description="host:port")
    ] = None
    database: Annotated[int, Field(ge=0, le=1 << 16, description="number of the database")] = 0
    prefix: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="what its keys begin with; replicas that share it share the counts"
        ),
    ] = "knockguard"
    user: Annotated[str | None, Field(max_length=128, description="user of its access control list")] = None
    password_file: Annotated[File | None, Field(description="one line, the password; read at each new connection")] = None
    ca_file: Annotated[
        File | None, Field(description="certificates to know it by; without them the connection is in the clear")
    ] = None
    timeout_s: Annotated[float, Field(gt=0, le=10, description="seconds after which it counts as away")] = 0.25

    @model_validator(mode="after")
    def _user_has_a_password(self) -> "RedisSettings":
        if self.user is not None and self.password_file is None:
            raise ValueError(f"user {self.user!r} has no password; give password_file")
        return self


class TenantLimitSettings(Section):
    """`[tenant_limits]`: rows a second and rows a day of each tenant; off without a file."""

    file: Annotated[File | None, Field(description="what each tenant may ask for, TOML; read again when it changes")] = None
    store: Annotated[str, Field(description="where rows are counted: memory, by each process for itself, or redis, by all")] = (
        "memory"
    )
    on_store_failure: Annotated[
        FailMode, Field(description="what happens to queries while the store is away: answered uncounted, or refused")
    ] = FailMode.OPEN
    redis: RedisSettings = RedisSettings()

    @model_validator(mode="after")
    def _store_is_one_that_is_there(self) -> "TenantLimitSettings":
        if self.store not in STORES:
            raise ValueError(f"no store is called {self.store!r}{nearest(self.store, STORES)}")
        if self.file is None and self.model_fields_set:
            raise ValueError(f"{sorted(self.model_fields_set)[0]} is of limits, and there are none; give their file")
        if (self.store == "redis") != (self.redis.address is not None):
            raise ValueError('store = "redis" and redis.address go together; give both or neither')
        return self

    def open_store(self) -> Store:
        """Return what counts; ConfigError if its library or one of its files is not there."""
        kind = STORES.get(self.store)
        return kind() if self.redis.address is None else kind(Place(**self.redis.model_dump()))  # type: ignore[call-arg]
