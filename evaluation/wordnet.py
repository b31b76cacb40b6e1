"""WordNet's nouns: what a class name can mean, and of what that is a kind.

The database is four text files in one folder, as Princeton publishes it, Debian's `wordnet-base` installs it (/usr/share/wordnet)
and nltk downloads it; their layout is wndb(5WN). A synset is named as ImageNet names its classes: `n` and the offset of its line.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evaluation.overlap import plain, spelt
from guard.errors import ConfigError, InvalidInputError

_INDEX, _DATA, _EXCEPTIONS = "index.noun", "data.noun", "noun.exc"
_HYPERNYMS = ("@", "@i")  # of a kind, and of an instance
_ENDINGS = (("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"), ("s", ""))
_WNID = re.compile(r"^n(\d{8})(?:[\s._-]+|$)")


@dataclass(frozen=True)
class WordNet:
    """The nouns in a folder, read when they are first asked for; ConfigError if it holds none, InvalidInputError if broken."""

    folder: Path

    def meanings(self, name: str) -> frozenset[str]:
        """Return the synsets that a class name can mean, in singular or plural; that of its own number, if it begins with one."""
        if (numbered := _WNID.match(name)) is not None:
            synset, words = f"n{numbered[1]}", spelt(name[numbered.end() :])
            # Numbers are of WordNet 3.0; in another release that line holds something else, and the name counts.
            if words in self._words(synset) or (not words and self._line(synset)):
                return frozenset({synset})
        return frozenset(f"n{offset}" for form in self._forms(plain(name)) for offset in self._index.get(form, ()))

    def kinds_of(self, name: str) -> frozenset[str]:
        """Return all synsets that a class name can be a kind of: those of a beagle are hound, dog, carnivore, ..., entity."""
        found: set[str] = set()
        left = list(self.meanings(name))
        while left:
            above = self._above(left.pop())
            left += above - found
            found |= above
        return frozenset(found)

    def numbered(self, names: Sequence[str]) -> list[str]:
        """Return names that stand in the order of their synsets, as ImageNet's do, led by these: "n02109047 Great Dane".

        A plane between pizza and planetarium is no aircraft: of all that the names can mean, the longest ascending sequence is
        taken. A name that has no place in it stays as it is.
        """
        ends: list[str] = []  # the smallest last synset of an ascending sequence of each length, and where it stands
        places: list[int] = []
        before: list[dict[str, tuple[int, str] | None]] = [{} for _ in names]
        for place, name in enumerate(names):
            for synset in sorted(self.meanings(name), reverse=True):  # so that a name is taken once
                length = bisect_left(ends, synset)
                before[place][synset] = (places[length - 1], ends[length - 1]) if length else None
                ends[length:], places[length:] = [synset, *ends[length + 1 :]], [place, *places[length + 1 :]]
        found = list(names)
        last = (places[-1], ends[-1]) if ends else None
        while last is not None:
            place, synset = last
            found[place] = f"{synset} {names[place]}"
            last = before[place][synset]
        return found

    def _forms(self, name: str) -> list[str]:
        """Return a name and what it may be the plural of; only the last word of several is bent."""
        first, space, last = name.rpartition(" ")
        bent = [f"{last[: -len(end)]}{to}" for end, to in _ENDINGS if last.endswith(end) and last != end]
        bent += self._exceptions.get(last, ())
        return [name, *(f"{first}{space}{form}" for form in bent)]

    @cached_property
    def _index(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(_text(self.folder / _INDEX).splitlines(), 1):
            if line.startswith("  "):  # the licence
                continue
            words = line.split()
            try:
                n = int(words[2])
                if not n or len(words) != 6 + int(words[3]) + n:  # name, n, count, pointers' count, pointers, two counts, offsets
                    raise ValueError
                found[spelt(words[0])] = (*found.get(spelt(words[0]), ()), *words[-n:])
            except (IndexError, ValueError):
                raise InvalidInputError(f"{self.folder / _INDEX} line {number} is no line of WordNet's index") from None
        return found

    @cached_property
    def _exceptions(self) -> dict[str, tuple[str, ...]]:
        words = [line.split() for line in _text(self.folder / _EXCEPTIONS).splitlines()]
        return {plural: tuple(singular) for plural, *singular in filter(None, words)}

    @cached_property
    def _data(self) -> str:
        return _text(self.folder / _DATA)

    def _line(self, synset: str) -> list[str]:
        offset = int(synset[1:])
        line = self._data[offset : self._data.find("\n", offset)].split()
        return line if line[:1] == [synset[1:]] else []

    def _words(self, synset: str) -> frozenset[str]:
        line = self._line(synset)
        try:
            return frozenset(spelt(word) for word in line[4 : 4 + 2 * int(line[3], 16) : 2]) if line else frozenset()
        except (IndexError, ValueError):
            raise InvalidInputError(f"{self.folder / _DATA}: what stands at {synset[1:]} is no line of WordNet's data") from None

    def _above(self, synset: str) -> set[str]:
        line = self._line(synset)
        try:
            start = 5 + 2 * int(line[3], 16)
            end = start + 4 * int(line[start - 1])
            pairs = [(line[at], line[at + 1]) for at in range(start, end, 4)]
        except (IndexError, ValueError):
            raise InvalidInputError(
                f"{self.folder / _DATA} has no synset at {synset[1:]}, which {_INDEX} names; both must be of one release"
            ) from None
        return {f"n{offset}" for symbol, offset in pairs if symbol in _HYPERNYMS}


def read_wordnet(folder: Path) -> WordNet:
    """Return the nouns of a folder; ConfigError if a file is missing there."""
    if missing := [name for name in (_INDEX, _DATA, _EXCEPTIONS) if not (folder / name).is_file()]:
        raise ConfigError(
            f"{folder} holds no {missing[0]}: that is no folder of WordNet's database; Debian's package wordnet-base installs "
            "one at /usr/share/wordnet"
        )
    return WordNet(folder)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("latin-1")  # one character a byte: offsets count bytes
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
