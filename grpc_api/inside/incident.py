"""An incident: what nobody foresaw inside a host, told to its log in full and to the client as an id."""

import secrets
from traceback import format_exception

import structlog

log = structlog.get_logger()


def incident_of(error: BaseException) -> str:
    """Log an error, and return what the client hears of it.

    The log is the host's, however it is set up: structlog's own default prints, where rich is installed, the local variables of
    each frame, so requests and scores. A traceback that is a text already has none.
    """
    incident = secrets.token_hex(6)
    log.error("guard_inside_failed", incident=incident, traceback="".join(format_exception(error)))
    return f"internal error, incident {incident}; the server's log has more"
