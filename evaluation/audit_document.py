"""audit.json: an audit for programs, every rate with its interval, and the verdict as it is printed."""

from dataclasses import fields, is_dataclass
from typing import Any

from evaluation.audit_results import Audit
from evaluation.audit_words import judged, passed, verdict
from evaluation.detection import Measure
from guard.rate import Rate


def document(audit: Audit) -> dict[str, Any]:
    """Return it as JSON's own types: rates as value, low, high (95 %), count and n; `passed` is what the exit code says."""
    pools = [_plain(pool) | {"judged": judged(pool, audit)} for pool in audit.pools]
    found: dict[str, Any] = _plain(audit)
    return found | {"pools": pools, "verdict": verdict(audit), "passed": passed(audit)}


def _plain(value: Any) -> Any:
    match value:
        case Rate():
            return {"value": value.value, "low": value.low, "high": value.high, "count": value.count, "n": value.n}
        case Measure():
            return {"tnr": _plain(value.tnr)} | {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case tuple() | list():
            return [_plain(each) for each in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value
