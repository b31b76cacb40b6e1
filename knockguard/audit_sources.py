"""What an audit measures on: in images and out pools, without what made the bundle."""

from pathlib import Path

from guard.bundle import Bundle
from guard.errors import ConfigError, InvalidInputError
from guard.seen import NOTHING_SEEN, read_seen
from knockguard.console import note
from knockguard.pools import WHOLE, Pool, Reading, Source, check_apart, look_through
from knockguard.recalibrating import LOGGED
from knockguard.synthetic_pool import Synthetic, is_synthetic

ALL = "all"  # the one side of an audit's sources
_MIN_IMAGES = 20


class Sources:
    """The sources, looked through: whatever is missing or broken in one is told before anything takes long."""

    def __init__(self, bundle: Bundle, folder: Path, *, limit: int, seed: int) -> None:
        """Read which images made the bundle in `folder`; `left_out` tells how many of each source, None where it is not known."""
        made = bundle.manifest.provenance
        self._seen = read_seen(folder, made.seen)
        self.n_logged = max((n for name, n in made.images.items() if name.startswith(LOGGED)), default=0)
        self._limit, self._seed = limit, seed
        self.left_out: dict[str, str] | None = None if self._seen is None else {}

    def look(self, source: Path) -> Pool:
        """Look through images, those that made the bundle left out; InvalidInputError if too few are left."""
        found = look_through(source, WHOLE, Reading(self._limit, self._seed, self._seen or NOTHING_SEEN))
        if found.n_left_out:
            self._leave_out(str(source), f"{found.n_left_out} images")
            note(f"{found.n_left_out} images of {source} made the bundle, and are left out")
        if (n := found.counts()[ALL]) < _MIN_IMAGES:
            beside = f" beside {found.n_left_out} that made the bundle" if found.n_left_out else ""
            raise InvalidInputError(f"{source} holds {n} images{beside}; an audit needs at least {_MIN_IMAGES}")
        return found

    def out_pool(self, path: Path, inside: Pool) -> Source:
        """Look through an out pool, or make a synthetic one; InvalidInputError if it shares images with the in images."""
        if is_synthetic(path):
            fitted = () if self._seen is None else self._seen.kinds
            if fitted:
                self._leave_out(path.name, f"the kinds {', '.join(fitted)}")
            return Synthetic.of(inside, n=self._limit, seed=self._seed, without=fitted)
        found = self.look(path)
        check_apart(inside, found)
        return found

    def _leave_out(self, source: str, what: str) -> None:
        if self.left_out is not None:
            self.left_out[source] = what


def pool_names(paths: tuple[Path, ...]) -> list[str]:
    """Return a name of each pool: its last part, and as many before it as tell it from the others; ConfigError for a repeat."""
    whole = [path.resolve() for path in paths]
    if repeated := [str(path) for i, path in enumerate(paths) if whole[i] in whole[:i]]:
        raise ConfigError(f"--pool {repeated[0]} is given twice; give each pool once")
    depth = next((d for d in range(1, 64) if len({path.parts[-d:] for path in paths}) == len(paths)), 64)
    return ["/".join(path.parts[-depth:]) for path in paths]
