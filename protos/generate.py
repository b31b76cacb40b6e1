"""Writes grpc_api/stubs from the .proto files: `python protos/generate.py`; with `--check` it only says whether they are current.

grpcio-tools 1.76 pairs with protobuf 6.33: generated code needs a runtime at least as new as its generator. Only messages are
generated; the service is registered by hand under its true name (`grpc_api/servicers/inference.py`).
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
STUBS = ROOT / "grpc_api" / "stubs"


def generate(target: Path) -> list[Path]:
    """Compile every .proto file into `target` and return what was written."""
    try:
        from grpc_tools import protoc
    except ImportError:
        sys.exit("the generator is not installed; pip install 'grpcio-tools==1.76.*', which the dev extra brings")

    include = Path(protoc.__file__).parent / "_proto"
    sources = sorted(SOURCES.glob("*.proto"))
    arguments = ["protoc", f"-I{SOURCES}", f"-I{include}", f"--python_out={target}", f"--pyi_out={target}"]
    if code := protoc.main([*arguments, *map(str, sources)]):
        sys.exit(f"protoc ended with code {code}")
    return sorted(target.glob("*_pb2.py*"))


def main() -> None:
    """Write the stubs, or with --check compare them and exit 1 if they differ."""
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python protos/generate.py [--check]")
    with TemporaryDirectory() as folder:
        fresh = {path.name: path.read_text() for path in generate(Path(folder))}
    stale = [name for name, text in fresh.items() if not (STUBS / name).exists() or (STUBS / name).read_text() != text]
    orphans = sorted({path.name for path in STUBS.glob("*_pb2*")} - fresh.keys())  # their sources are gone or renamed
    if sys.argv[1:] and (stale or orphans):
        sys.exit(f"not current: {', '.join(stale + orphans)}; run python protos/generate.py")
    for name in stale:
        (STUBS / name).write_text(fresh[name])
    for name in orphans:
        (STUBS / name).unlink()
    print(f"{len(fresh)} stub files current" + ("" if sys.argv[1:] else f", {len(stale)} written, {len(orphans)} removed"))


if __name__ == "__main__":
    main()
