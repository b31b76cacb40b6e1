"""What an identity is: it tells the tenant behind a call, never from a field that the client writes freely."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar

ANONYMOUS = "anonymous"
TENANT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant behind a call; one of a closed set, so it may be a metric label."""

    tenant: str


CALLER: ContextVar[Caller] = ContextVar("caller")


class Identity(ABC):
    """Tells who asks, from a call's metadata or, where `by_peer`, from the names in the certificate of its connection."""

    by_peer: ClassVar[bool] = False

    @property
    @abstractmethod
    def tenants(self) -> Sequence[str]:
        """Who there is."""

    @abstractmethod
    def caller(self, metadata: Metadata, peer: Sequence[str] = ()) -> Caller:
        """Return who asks; UnauthenticatedError without good credentials."""
