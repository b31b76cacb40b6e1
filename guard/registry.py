"""A registry of one plugin family: names to "module:Class", resolved on use.

Nothing is imported before it is asked for, so listing detectors loads neither scikit-learn nor a policy nobody uses.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Generic, TypeVar

from guard.errors import ConfigError

T = TypeVar("T")  # 3.11 has no `class Registry[T]` yet


class Registry(Generic[T]):
    """The members of one family, by the name that users write.

    `family` is the word for messages ("detector"), `base` the family's abstract base, `members` the table. Two rows of one name
    cannot be written in a dict literal without a linter noticing (ruff F601), and `add` refuses the second.
    """

    def __init__(self, family: str, base: type[T], members: Mapping[str, str]) -> None:
        self._family = family
        self._base = base
        self._members = dict(members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, name: str, target: str) -> None:
        """Register a member from outside the package; ConfigError if the name is taken."""
        if name in self._members:
            raise ConfigError(f"{self._family} {name!r} is registered already, as {self._members[name]}")
        self._members[name] = target

    def get(self, name: str) -> type[T]:
        """Return the class behind a name; ConfigError names the nearest when there is none."""
        if name not in self._members:
            raise ConfigError(f"no {self._family} is called {name!r}{nearest(name, self._members)}")
        module, _, attribute = self._members[name].partition(":")
        member = getattr(import_module(module), attribute)
        if not (isinstance(member, type) and issubclass(member, self._base)):
            raise ConfigError(f"{self._members[name]} is no {self._base.__name__}")
        return member


_LONGEST = 128


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" or the list of what there is, for the end of a message."""
    names = sorted(known)
    close = get_close_matches(name[:_LONGEST], names, n=1)  # a client may have written it, as long as it likes
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"
