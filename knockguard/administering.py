"""What `knockguard admin` does: one call to a running gateway, and its answer as a table or as JSON."""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.table import Table

from grpc_api.admin_client import AdminClient, read_key
from grpc_api.stubs import knockguard_admin_pb2 as pb
from guard.rate import Rate
from knockguard.console import note, out
from knockguard.exits import ANSWER_IS_NO
from knockguard.serving import parse_options

Response = TypeVar("Response", bound=Message)


class Desk:
    """Where an operator stands: which gateway, by which key, and how answers are shown."""

    def __init__(self, address: str, key_file: Path | None, *, as_json: bool) -> None:
        self._address = address
        self._key = None if key_file is None else read_key(key_file)
        self._as_json = as_json

    def status(self) -> None:
        """Print how the gateway is."""
        answer = self._ask(AdminClient.status)
        if self._printed(answer):
            return
        table = Table("what", "is", show_header=False)
        rows = {
            "release": answer.release,
            "ready": "yes" if answer.ready else "no",
            "since": _time(answer.started_at),
            "process": str(answer.process),
            "bundles": str(answer.bundles),
            "tenants seen": str(answer.tenants),
            "rows decided": str(answer.rows),
            "unguarded": f"{answer.unguarded_rows} rows",
            "flagged": str(Rate(answer.flagged, answer.rows)),
            "workers": f"{answer.workers} answer, {answer.worker_restarts} ended unasked" if answer.workers else "one process",
            "audit log": f"{answer.audit_written_rows} rows written, {answer.audit_dropped_rows} dropped",
        }
        for name, value in rows.items():
            table.add_row(name, value)
        out.print(table)
        if answer.dependencies:
            table = Table("depends on", "for", "breaker", "without it", "lost", "faults")
            for item in answer.dependencies:
                faults = ", ".join(f"{n} {fault}" for fault, n in sorted(item.faults.items()) if n) or "none"
                whom = f"{item.model}/{item.version}" if item.model else "all"
                table.add_row(item.name, whom, item.state, item.mode, f"{item.openings} times", faults)
            out.print(table)
        if answer.drifts:
            table = Table("detector", "of", "recent rows", "PSI (unmoved)", "gap (critical)", "moved")
            for drift in answer.drifts:
                psi, gap = f"{drift.psi:.3f} ({drift.psi_noise:.3f})", f"{drift.gap:.3f} ({drift.critical_gap:.3f})"
                moved = "yes" if drift.moved else "no"
                table.add_row(drift.detector, f"{drift.model}/{drift.version}", str(drift.rows), psi, gap, moved)
            out.print(table)

    def bundles(self) -> None:
        """Print what is live."""
        self._show_bundles(self._ask(AdminClient.bundles))

    def set_policy(self, model: str, policy: str, *, options: Sequence[str], apply_to: str) -> None:
        """Set a policy, and print the model's bundles."""
        given = {name: str(value) for name, value in parse_options(options).items()}
        request = pb.SetPolicyRequest(model=model, policy=policy, options=given, apply_to=apply_to)
        self._show_bundles(self._ask(lambda client: client.set_policy(request)))
        note("this stands until the gateway ends; put it into its settings to keep it")

    def reload(self, model: str) -> None:
        """Reload, and print what became of each bundle; ends with exit code 5 if one was rejected."""
        answer = self._ask(lambda client: client.reload(model))
        if not self._printed(answer):
            table = Table("model", "version", "outcome", "reason")
            for outcome in answer.outcomes:
                table.add_row(outcome.model, outcome.version, outcome.outcome, outcome.reason)
            out.print(table)
        if any(outcome.outcome == "rejected" for outcome in answer.outcomes):
            sys.exit(ANSWER_IS_NO)

    def evidence(self, tenant: str) -> None:
        """Print what is known of a tenant, or of all."""
        answer = self._ask(lambda client: client.evidence(tenant))
        if self._printed(answer):
            return
        columns = (
            "tenant",
            "model",
            "rows",
            "flagged [95 %]",
            "may be",
            "recent",
            "scores: 5 %, median, 95 %",
            "threshold",
            "last",
        )
        table = Table(*columns)
        for item in answer.items:
            table.add_row(
                item.tenant,
                f"{item.model}/{item.version}",
                str(item.rows),
                str(Rate(item.flagged, item.rows)),
                f"{item.target_fpr:.3f}" if item.HasField("target_fpr") else "retired",
                f"{item.recent_flagged} of {item.recent_rows}",
                ", ".join(f"{q:.4g}" for q in item.recent_quantiles[1::2]) or "-",
                f"{item.threshold:.4g}",
                _time(item.last),
            )
        out.print(table)

    def reset(self, tenant: str) -> None:
        """Forget what is known of a tenant."""
        answer = self._ask(lambda client: client.reset(tenant))
        note(f"forgot {answer.forgotten} entries of {tenant}" if answer.forgotten else f"nothing was known of {tenant}")

    def limits(self, tenant: str) -> None:
        """Print what a tenant, or each, may ask for and has used."""
        answer = self._ask(lambda client: client.limits(tenant))
        if self._printed(answer):
            return
        table = Table("tenant", "rows a second", "bucket holds", "quota used", "until")
        for item in answer.items:
            table.add_row(
                item.tenant,
                f"{item.rows_per_s:g}" if item.HasField("rows_per_s") else "-",
                f"{item.bucket_rows:.0f} of {item.burst_rows}" if item.HasField("burst_rows") else "-",
                f"{item.used_rows} of {item.quota_rows}" if item.HasField("quota_rows") else "-",
                _time(item.window_end) if item.HasField("quota_rows") else "-",
            )
        out.print(table)
        note(f"counted in {answer.store}" + (f"; {answer.left_out} more tenants are not shown" if answer.left_out else ""))

    def reset_limits(self, tenant: str) -> None:
        """Let a tenant begin anew."""
        answer = self._ask(lambda client: client.reset_limits(tenant))
        note(f"{tenant} begins anew" if answer.forgotten else f"nothing was counted of {tenant}")

    def _ask(self, call: Callable[[AdminClient], Response]) -> Response:
        with AdminClient(self._address, key=self._key) as client:
            return call(client)

    def _show_bundles(self, answer: pb.ListBundlesResponse | pb.SetPolicyResponse) -> None:
        if self._printed(answer):
            return
        table = Table("model", "version", "bundle", "policy", "applies to", "detector", "threshold", "provider", "loaded", "from")
        for b in answer.bundles:
            shown = (b.policy, b.apply_to, b.detector, f"{b.threshold:.4g}", b.provider, _time(b.loaded_at), b.source)
            table.add_row(b.model, b.version, b.bundle, *shown)
        out.print(table)

    def _printed(self, answer: Message) -> bool:
        """Print the answer as JSON if that was asked for."""
        if self._as_json:
            print(MessageToJson(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
        return self._as_json


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")
