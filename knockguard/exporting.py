"""`knockguard export`: a bundle as a model of another server's repository, to stand behind a gateway or with the guard inside."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from exporters.kserve import REPOSITORY, SERVICE, write_kserve
from exporters.mlserver import write_guarded_mlserver, write_mlserver
from exporters.repository import WARNING
from exporters.triton import write_triton
from guard.bundle import Bundle, load_bundle
from guard.errors import ConfigError
from guard.promise import check_promise
from guard.registry import nearest
from knockguard.console import note, out, warn


class Server(StrEnum):
    """Who is to read the repository."""

    TRITON = "triton"
    MLSERVER = "mlserver"
    KSERVE = "kserve"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What `knockguard export` was asked for; see its help. `max_batch_rows` None is the server's default."""

    bundle: Path
    server: str
    out: Path
    expose_scores: bool
    guarded: bool
    max_batch_rows: int | None
    storage_uri: str | None
    force: bool
    unguarded: bool = False


def export_bundle(options: ExportOptions, *, as_json: bool) -> None:
    """Write `<out>/<model's name>/` whole or not at all, and print its files.

    ConfigError for a server that nobody knows, or an option that is another's; ExportError if the folder exists; BundleError if
    the bundle is no good, or its threshold is of too few images for what it promises.
    """
    server = _server(options)
    bundle = load_bundle(options.bundle)
    if not options.unguarded:
        check_promise(bundle.manifest, called=str(options.bundle), way_out="write it all the same: --unguarded")
    folder = _write(server, bundle, options)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        told: dict[str, object] = {"server": server.value, "folder": str(folder), "files": files}
        told |= {"scores": options.expose_scores, "guarded": options.guarded}
        out.print_json(json.dumps(told))
    else:
        out.print("\n".join(str(folder / name) for name in files), soft_wrap=True, highlight=False, markup=False)
    if not options.guarded:
        warn(WARNING)
    if options.expose_scores:
        warn("its answers hold the detectors' scores: whoever reads them knows what is flagged, and a thief avoids it")
    for step in _next_steps(server, folder, options):
        note(step)


def _server(options: ExportOptions) -> Server:
    """Return who is meant, all options being its own."""
    names = [server.value for server in Server]
    if options.server not in names:
        raise ConfigError(f"--for is {options.server!r}; it is one of {', '.join(names)}{nearest(options.server, names)}")
    server = Server(options.server)
    if server is Server.KSERVE and options.storage_uri is None:
        raise ConfigError(
            "KServe fetches the repository from a storage; say where: --storage-uri pvc://VOLUME/PATH, s3://..., gs://..."
        )
    if server is not Server.KSERVE and options.storage_uri is not None:
        raise ConfigError(f"--storage-uri is for KServe, and this is for {server.value}; leave it out")
    if options.guarded and (server is not Server.MLSERVER or options.expose_scores):
        raise ConfigError(
            "--guarded is for MLServer, whose model class keeps the scores; give --for mlserver, no --expose-scores"
        )
    if server is Server.MLSERVER and options.max_batch_rows is not None:
        raise ConfigError("--max-batch-rows is not for MLServer: there one bad request fails its batch, so the gateway batches")
    return server


def _write(server: Server, bundle: Bundle, options: ExportOptions) -> Path:
    exposed, force = options.expose_scores, options.force
    if options.guarded:
        return write_guarded_mlserver(options.out, bundle, force=force)
    if server is Server.MLSERVER:
        return write_mlserver(options.out, bundle, expose_scores=exposed, force=force)
    rows = {} if options.max_batch_rows is None else {"max_batch_rows": options.max_batch_rows}
    if server is Server.TRITON:
        return write_triton(options.out, bundle, expose_scores=exposed, force=force, **rows)
    folder, uri = options.out / bundle.manifest.name, str(options.storage_uri)
    return write_kserve(folder, bundle, storage_uri=uri, expose_scores=exposed, force=force, **rows)


def _next_steps(server: Server, folder: Path, options: ExportOptions) -> tuple[str, ...]:
    if options.guarded:
        return (f"next: mlserver start {options.out}, with knockguard installed beside it",)
    scores = "" if options.expose_scores else " --scores-from bundle"
    gateway = f"knockguard serve {options.bundle} --upstream"
    if server is Server.TRITON:
        return (f"next: tritonserver --model-repository {options.out}, then {gateway} HOST:8001{scores}",)
    if server is Server.MLSERVER:
        return (f"next: mlserver start {options.out}, with onnxruntime beside it, then {gateway} HOST:8081{scores}",)
    return (
        f"next: copy {folder / REPOSITORY} to {options.storage_uri}, and kubectl apply -f {folder / SERVICE}",
        f"then: {gateway} SERVICE:9000{scores}, in a pod labelled app.kubernetes.io/name: knockguard",
    )
