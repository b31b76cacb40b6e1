"""Which of the victim's classes are left out of what fits, where a detector asks for it: those that public sets have too."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.overlap import Overlap, imagenet_classes, no_meanings, read_mapping
from evaluation.wordnet import WordNet, read_wordnet
from guard.detectors.base import Detector
from guard.detectors.network import OwnNetwork
from guard.errors import ConfigError
from knockguard.console import note, warn
from knockguard.pools import Source
from knockguard.protect import Material

_NAMED = 10  # classes


@dataclass(frozen=True, slots=True)
class Compared:
    """How classes are compared: by name, by the mapping that has the last word, and by what names mean where WordNet is given."""

    mapping: Mapping[str, str]
    wordnet: WordNet | None
    kinds: bool

    @classmethod
    def read(cls, class_map: Path | None, wordnet: Path | None, *, kinds: bool) -> "Compared":
        """Read the files; ConfigError or InvalidInputError for what is missing or broken."""
        if kinds and wordnet is None:
            raise ConfigError("--wordnet-kinds asks what is a kind of what; name WordNet's folder with --wordnet DIR")
        return cls(read_mapping(class_map) if class_map else {}, read_wordnet(wordnet) if wordnet else None, kinds)

    def with_public(self, classes: frozenset[str]) -> Overlap:
        """Return the overlap with ImageNet and these classes."""
        known, found = imagenet_classes(), self.wordnet
        if found is None:
            return Overlap(classes.union(known), self.mapping)
        kinds_of = found.kinds_of if self.kinds else no_meanings
        return Overlap(classes.union(found.numbered(known)), self.mapping, found.meanings, kinds_of)


def overlapping(detectors: Iterable[Detector], material: Material, outside: Source, compared: Compared) -> Overlap | None:
    """Return what is public, and say which of the victim's classes are left out; None where no detector asks for it."""
    asking = [d.name for d in detectors if isinstance(d, OwnNetwork) and d.remove_overlap]
    if not asking:
        return None
    own = {name for name in material.in_fit_classes if name is not None}
    if not own:
        warn(f"{asking[0]} leaves classes out that public sets have, and the in images have none: give a folder a class")
    overlap = compared.with_public(frozenset(name for side in outside.labels.values() for name in side if name is not None))
    if left := sorted(overlap.classes(own)):
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        note(f"left out of what fits {', '.join(asking)}: {', '.join(left[:_NAMED])}{more}, which public sets have too")
    return overlap
