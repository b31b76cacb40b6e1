"""The stores by name. A new one is a file beside this one and a row here."""

from guard.evidence.stores.base import Store
from guard.registry import Registry

STORES: Registry[Store] = Registry(
    "store",
    Store,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "memory": "guard.evidence.stores.memory:MemoryStore",
        "redis": "guard.evidence.stores.redis_store:RedisStore",
    },
)
