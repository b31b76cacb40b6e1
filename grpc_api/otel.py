"""OpenTelemetry: a span for every query, with one for each of its stages, under the caller's own trace. Extra `otel`."""

import os
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter, time
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from grpc_api.interceptors import Call, Context, Unary, status_name
from grpc_api.tracing import TRACE, Trace

_GUARDED = "ModelInfer"
_TIMEOUT_S = 3.0


def open_traces(exporter: SpanExporter | None = None) -> tuple["Traces", Callable[[], None]]:
    """Return the interceptor, and what sends the last spans and ends.

    Where spans go, how many, and with what attributes is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and the rest.
    """
    name = os.environ.get("OTEL_SERVICE_NAME", "knockguard")
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": version("knockguard")}))
    # The last spans must not hold up the end of a gateway whose collector is away for longer than that.
    timeout_s = None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else _TIMEOUT_S
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(timeout=timeout_s)))
    return Traces(provider.get_tracer("knockguard", version("knockguard"))), provider.shutdown


class Traces(Unary):
    """A server span around every query. Its parent is the W3C trace context of the call's metadata, where there is one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    def around(self, inner: "Call", method: str) -> "Call":
        service, _, name = method.lstrip("/").partition("/")
        if name != _GUARDED:
            return inner
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

        async def call(request: Any, context: "Context") -> Any:
            metadata = context.invocation_metadata() or ()
            carrier = {key: value for key, value in metadata if key in self._propagator.fields and isinstance(value, str)}
            span = self._tracer.start_span(
                f"{service}/{name}", self._propagator.extract(carrier), kind=SpanKind.SERVER, attributes=attributes
            )
            token = TRACE.set(_Recorded(self._tracer, span)) if span.is_recording() else None
            try:
                return await inner(request, context)
            except BaseException as error:
                # The status alone: an error's message may repeat what the client wrote.
                span.set_status(StatusCode.ERROR, status_name(context, error))
                raise
            finally:
                if token is not None:
                    TRACE.reset(token)
                span.end()

        return call


class _Recorded(Trace):
    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)
        self._offset_s = time() - perf_counter()

    def about(self, model: str, version: str, *, n_rows: int) -> None:
        self._span.set_attributes({"knockguard.model": model, "knockguard.version": version, "knockguard.rows": n_rows})

    def stage(self, name: str, began: float, ended: float) -> None:
        self._tracer.start_span(name, self._context, start_time=self._ns(began)).end(self._ns(ended))

    def _ns(self, instant: float) -> int:
        return int((self._offset_s + instant) * 1e9)
