"""A scene for `knockguard attack`: a gateway, an adversary's pool, and test images."""

from dataclasses import dataclass
from pathlib import Path

from knockguard.gateway_process import RunningGateway

N_QUERIES, N_TEST = 64, 60
ASKED = "knockguard_rows_total"


@dataclass(frozen=True)
class Scene:
    """A gateway, the adversary's pool and the test images."""

    gateway: RunningGateway
    pool: Path
    test: Path

    def words(self, out: Path, *more: object, address: str = "") -> list[object]:
        given = [address or self.gateway.address, "--pool", self.pool, "--test", self.test, "--model", "discs", "-o", out]
        return ["attack", *given, "--queries", N_QUERIES, "--epochs", 2, *more]

    def asked(self) -> int:
        """Return how many rows the gateway has answered so far."""
        return self.gateway.counter(ASKED)
