"""What is compared with public sets: names alone, or what they mean, where WordNet's folder is given."""

from pathlib import Path

import pytest

from guard.errors import ConfigError
from knockguard.overlapping import Compared

DEBIAN = Path("/usr/share/wordnet")


@pytest.mark.data
def test_meanings_count_where_wordnet_is_given_and_kinds_where_asked() -> None:
    if not DEBIAN.is_dir():
        pytest.skip(f"no WordNet at {DEBIAN}; Debian's package wordnet-base has it")
    own = ["goldfish", "cellphone", "dog", "wolpertinger", "duck"]
    found = [
        Compared.read(None, folder, kinds=kinds).with_public(frozenset({"wolpertinger"})).classes(own)
        for folder, kinds in ((None, False), (DEBIAN, False), (DEBIAN, True))
    ]
    assert found[0] == {"goldfish", "wolpertinger"}
    assert found[1] == {"goldfish", "wolpertinger", "cellphone"}
    assert found[2] == {*own}


def test_kinds_without_wordnet_and_a_folder_without_it_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--wordnet DIR"):
        Compared.read(None, None, kinds=True)
    with pytest.raises(ConfigError, match=r"holds no index\.noun"):
        Compared.read(None, tmp_path, kinds=False)
