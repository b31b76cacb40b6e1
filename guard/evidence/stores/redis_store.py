"""RedisStore: counts in Redis, for all replicas that name the same server. Extra `redis`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from guard.errors import ConfigError, StoreError
from guard.evidence.allowance import Allowance, Bound, Standing
from guard.evidence.stores.base import Store
from guard.evidence.stores.turns import timeout_in_turns

T = TypeVar("T")
_MAX_PASSWORD_BYTES = 4096
_CONNECTIONS = 32
# `charged` and what keeps its account, in one step. An account whose bucket is full and whose window is over goes by itself.
# Redis's own clock, unless one is given: replicas' clocks differ.
_TAKE = """
local now = tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = t[1] + t[2] / 1e6 end
local length = tonumber(ARGV[2])
local window = math.floor(now / length) * length
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'window', 'used')
local used = 0
if tonumber(held[3]) == window then used = tonumber(held[4]) end
local rows = tonumber(ARGV[3])
local rate, burst, quota = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local at, tokens = now, 0
if held[2] then at = math.max(tonumber(held[2]), now) end
if rate > 0 then
  tokens = burst
  if held[2] then tokens = math.min(tokens, tonumber(held[1]) + (at - tonumber(held[2])) * rate) end
end
local bound, wait = '', 0
if rate > 0 and tokens < rows then bound = 'rate'; wait = (rows - tokens) / rate end
if quota >= 0 and used + rows > quota then bound = 'quota'; wait = math.max(wait, window + length - now) end
if bound == '' then
  if rate > 0 then tokens = tokens - rows end
  used = used + rows
end
if rows > 0 then
  local idle = window + length - now
  if rate > 0 then idle = math.max(idle, (burst - tokens) / rate) end
  local f, kept = '%.17g', tokens
  if rate <= 0 then kept = math.huge end
  redis.call('HSET', KEYS[1], 'tokens', f:format(kept), 'at', f:format(at), 'window', f:format(window), 'used', f:format(used))
  redis.call('PEXPIRE', KEYS[1], math.ceil(idle * 1000) + 1000)
end
return {bound, ('%.17g'):format(wait), ('%.17g'):format(tokens), ('%.17g'):format(used), ('%.17g'):format(window + length)}
"""
_GIVE_BACK = """
local held = redis.call('HMGET', KEYS[1], 'window', 'used')
if held[1] and tonumber(held[1]) + tonumber(ARGV[1]) == tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'used', ('%.17g'):format(math.max(0, tonumber(held[2]) - tonumber(ARGV[3]))))
end
return 0
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where Redis is: `address` is host:port, `prefix` begins all keys.

    `password_file` is read at each new connection. `ca_file` are certificates to know it by, PEM; without them the connection
    is in the clear.
    """

    address: str
    database: int = 0
    prefix: str = "knockguard"
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = 0.25


class RedisStore(Store):
    """One hash a tenant, under a hash of the tenant's name; Redis sees no name and no row."""

    name: ClassVar[str] = "redis"
    shared: ClassVar[bool] = True

    def __init__(self, place: Place, *, clock: Callable[[], float] | None = None) -> None:
        """ConfigError without the library, or if a file cannot be read. No connection is made before the first call."""
        try:
            from redis.asyncio import Redis
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError("the store 'redis' needs its client; pip install 'knockguard[redis]'") from None
        self._redis: Any = Redis.from_pool(_pool(place))
        self.place = place
        self._clock = clock
        # A password's file that is gone, and an answer that is none, are failures as well. A timeout is an OSError.
        self._failures = (RedisError, OSError, ConfigError, ValueError, TypeError)
        self._take: Any = self._redis.register_script(_TAKE)
        self._give_back: Any = self._redis.register_script(_GIVE_BACK)

    async def take(self, tenant: str, rows: int, allowance: Allowance) -> Standing:
        quota = -1 if allowance.quota_rows is None else allowance.quota_rows
        now = "" if self._clock is None else repr(self._clock())
        given = (rows, allowance.rows_per_s or 0, allowance.burst_rows, quota)

        async def asked() -> Standing:
            bound, *numbers = await self._take(keys=[self._key(tenant)], args=[now, allowance.window_s, *given])
            wait_s, tokens, used, window_end = map(float, numbers)
            return Standing(Bound(bound) if bound else None, wait_s, tokens, int(used), window_end)

        return await self._told(asked)

    async def give_back(self, tenant: str, rows: int, allowance: Allowance, *, window_end: float) -> None:
        args = [allowance.window_s, window_end, rows]
        await self._told(lambda: self._give_back(keys=[self._key(tenant)], args=args))

    async def forget(self, tenant: str) -> bool:
        return bool(await self._told(lambda: self._redis.delete(self._key(tenant))))

    async def close(self) -> None:
        await self._redis.aclose()

    def _key(self, tenant: str) -> str:
        return f"{self.place.prefix}:allowance:{sha256(tenant.encode()).hexdigest()[:32]}"

    async def _told(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with timeout_in_turns(self.place.timeout_s):  # the wait for a connection included
                return await ask()
        except self._failures as error:
            raise StoreError("rows cannot be counted now; try again shortly") from error


class _Credentials:
    """What the client asks for at each new connection, so that a password is changed without a restart."""

    def __init__(self, user: str | None, file: Path) -> None:
        self._user = user
        self._file = file
        self.get_credentials()

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return user and password, or the password alone; ConfigError if the file cannot be read, which is never shown."""
        password = _password(self._file)
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def _pool(place: Place) -> Any:
    from redis.asyncio import BlockingConnectionPool, SSLConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    host, _, port = place.address.rpartition(":")
    options: dict[str, Any] = {"host": host.strip("[]"), "port": int(port), "db": place.database}
    if place.password_file is not None:
        options["credential_provider"] = _Credentials(place.user, place.password_file)
    if place.ca_file is not None:
        if not place.ca_file.is_file():
            raise ConfigError(f"cannot read the certificates of Redis at {place.ca_file}; give a file of PEM blocks")
        options |= {"connection_class": SSLConnection, "ssl_ca_certs": str(place.ca_file)}
    # Not tried again: a row whose answer was lost would be counted twice. Our own timeout is the only one.
    retry = Retry(NoBackoff(), 0)
    options |= {"socket_timeout": None, "socket_connect_timeout": None}
    return BlockingConnectionPool(
        max_connections=_CONNECTIONS, timeout=None, protocol=2, decode_responses=True, retry=retry, **options
    )


def _password(file: Path) -> str:
    try:
        text = file.read_bytes()[:_MAX_PASSWORD_BYTES].decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text file"
        raise ConfigError(f"cannot read the password of Redis at {file}: {reason}") from None
    if not text or "\n" in text:
        raise ConfigError(f"{file} holds no password; its one line is the password itself")
    return text
