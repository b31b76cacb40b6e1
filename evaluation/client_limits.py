"""`[limits]` of an experiment file: how much one client may ask of the gateways, whoever stands behind it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ClientLimits(BaseModel):
    """`rows_per_client` is how many rows each client may ask about in all; without it nobody is limited.

    Gateways count, by key. A thief knows the limit as every customer does, and his campaign ends where his identities may ask no
    more: k of them ask k times as much, and a copy learns from what was answered until then. Each thief has keys of his own, and
    the customer whose accuracy is measured has no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_per_client: Annotated[int, Field(ge=1, strict=True)] | None = None

    def queries(self, budget: int, *, n_clients: int) -> int:
        """Return how many queries of a budget so many clients may ask, each its even share."""
        return budget if self.rows_per_client is None else min(budget, self.rows_per_client * n_clients)
