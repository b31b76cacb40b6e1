"""Which images made a bundle, so that an audit on the same ones is noticed: eight bytes of each one's hash, never the images.

Two images share their eight bytes by chance once in 2^64 pairs. A copy that was encoded anew has another hash and is not noticed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from guard.errors import BundleError

SEEN = "seen.bin"
_BYTES = 8
_MOST = 1 << 24  # images: 128 MiB


class SeenSpec(BaseModel):
    """What a manifest says of `seen.bin`: its hash, how many images it names, and the kinds of made-up images that fitted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    n: Annotated[int, Field(ge=0, le=_MOST)]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The images that fitted and calibrated a bundle, those of its test not among them; `digest in seen` asks for one.

    `kinds` are those of a synthetic pool (`evaluation.synthetic`).
    """

    hashes: frozenset[bytes] = frozenset()
    kinds: tuple[str, ...] = ()

    @classmethod
    def of(cls, digests: Iterable[bytes], *, kinds: tuple[str, ...] = ()) -> "Seen":
        """Return what remembers these SHA-256 digests of images' files."""
        return cls(frozenset(digest[:_BYTES] for digest in digests), kinds)

    def __contains__(self, digest: bytes) -> bool:
        return digest[:_BYTES] in self.hashes

    def content(self) -> bytes:
        """Return the file: eight bytes an image, sorted, so that nothing tells in which order they came."""
        return b"".join(sorted(self.hashes))

    def spec(self) -> SeenSpec:
        """Return what the manifest says of the file."""
        return SeenSpec(sha256=sha256(self.content()).hexdigest(), n=len(self.hashes), kinds=self.kinds)


NOTHING_SEEN = Seen()


def read_seen(folder: Path, spec: SeenSpec | None) -> Seen | None:
    """Return which images made the bundle in a folder, None if its manifest does not tell; BundleError if the file is another."""
    if spec is None:
        return None
    path = folder / SEEN
    try:
        inside = path.resolve().is_relative_to(folder.resolve()) and path.is_file()
        content = path.read_bytes() if inside and path.stat().st_size == _BYTES * spec.n else b"no"
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, in Python 3.11 and 3.12
        reason = error.strerror if isinstance(error, OSError) else "a loop of links"
        raise BundleError(f"cannot read {path} ({reason}); copy the bundle again") from None
    if sha256(content).hexdigest() != spec.sha256:
        raise BundleError(f"{path} is missing or is not what its manifest says; copy the bundle again, with all of its files")
    return Seen(frozenset(content[i : i + _BYTES] for i in range(0, len(content), _BYTES)), spec.kinds)
