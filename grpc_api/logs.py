"""Logs: one event a line on stderr, JSON by default, what libraries say included. No payload: fields are chosen one by one."""

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["json", "text"]


def configure_logs(form: LogFormat, **fields: int) -> None:
    """Send our events, and warnings of gRPC, asyncio and other libraries, through one renderer, each with these fields."""

    def with_fields(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**fields, **event}

    shared: list[structlog.typing.Processor] = [
        with_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    # A line is written whole, its end included: several workers have one stderr.
    structlog.configure(processors=[*shared, renderer], logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    handler = logging.StreamHandler(sys.stderr)
    rendered = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=rendered, foreign_pre_chain=[*shared, _named]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def _named(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Make a library's sentence a field, so that events stay constants."""
    record: logging.LogRecord = event["_record"]
    event["message"], event["event"], event["library"] = event["event"], "library_said", record.name
    return event
