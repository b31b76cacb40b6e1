"""Where one query's time goes, told to whoever traces it: nobody, unless traces are turned on (`grpc_api.otel`)."""

from contextvars import ContextVar


class Trace:
    """One query's trace; this one keeps nothing. Instants are on `perf_counter`'s clock, in seconds.

    It never hears of scores, flags or policies: traces are often read by the teams that ask, and they must not learn of flags.
    """

    def about(self, model: str, version: str, *, n_rows: int) -> None:
        """Say what is asked for."""

    def stage(self, name: str, began: float, ended: float) -> None:
        """Say that one stage is over."""


TRACE: ContextVar[Trace] = ContextVar("trace", default=Trace())  # noqa: B039  # it holds nothing
