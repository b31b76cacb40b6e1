"""WordNet's nouns: a miniature database for the rules, Debian's own for what they come to."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.datasets import Split, load
from evaluation.overlap import Overlap, imagenet_classes
from evaluation.wordnet import WordNet, read_wordnet
from guard.errors import ConfigError, InvalidInputError

DEBIAN = Path("/usr/share/wordnet")
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def database(folder: Path, synsets: Sequence[tuple[str, ...]]) -> WordNet:
    """Write synsets: words, and in last place the number of the synset above ("" for none). Returns them as read back."""
    lines, at = ["  1 licence\n"], len("  1 licence\n")
    offsets: list[int] = []
    for *words, above in synsets:
        pointers = "000" if above == "" else f"001 @ {offsets[int(above)]:08d} n 0000"
        spelt = " ".join(f"{word} 0" for word in words)
        offsets.append(at)
        lines.append(f"{at:08d} 05 n {len(words):02x} {spelt} {pointers} | what it is  \n")
        at += len(lines[-1])
    (folder / "data.noun").write_text("".join(lines))
    index: dict[str, list[int]] = {}
    for offset, (*words, _) in zip(offsets, synsets, strict=True):
        for word in words:
            index.setdefault(word.lower(), []).append(offset)
    rows = [f"{w} n {len(o)} 1 @ {len(o)} 0 {' '.join(f'{each:08d}' for each in o)}  \n" for w, o in sorted(index.items())]
    (folder / "index.noun").write_text("  1 licence\n" + "".join(rows))
    (folder / "noun.exc").write_text("geese goose\nnothing\n")
    return read_wordnet(folder)


@pytest.fixture
def small(tmp_path: Path) -> WordNet:
    return database(
        tmp_path,
        [
            ("animal", ""),
            ("whale", "0"),
            ("killer_whale", "Orca", "1"),
            ("goose", "0"),
            ("tool", ""),
            ("orca", "4"),
            ("bus", "4"),
        ],
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("orca", "killer whale"),
        ("027.Killer-Whales", "killer whale"),
        ("geese", "goose"),
        ("Orcas", "killer_whale"),
        ("buses", "bus"),
    ],
)
def test_names_that_mean_the_same_share_a_synset(small: WordNet, a: str, b: str) -> None:
    assert small.meanings(a) & small.meanings(b)


def test_name_that_is_no_noun_means_nothing(small: WordNet) -> None:
    assert small.meanings("nothing") == small.meanings("quickly") == small.kinds_of("quickly") == frozenset()


def test_kinds_reach_to_the_top_and_hold_no_meaning_of_the_name_itself(small: WordNet) -> None:
    assert small.kinds_of("killer whale") == small.meanings("whale") | small.meanings("animal")
    assert small.kinds_of("animal") == frozenset()


def test_number_settles_which_meaning_it_is_unless_it_is_of_another_release(small: WordNet) -> None:
    tool = max(small.meanings("orca"))
    assert small.meanings(f"{tool} orca") == small.meanings(f"{tool}_Orca") == small.meanings(tool) == {tool}
    assert small.meanings(f"{tool} goose") == small.meanings("goose")
    assert small.meanings("n00000003 whale") == small.meanings("whale")
    assert small.meanings("n99999999") == frozenset()


def test_names_in_order_are_numbered_by_the_sequence_that_ascends(small: WordNet) -> None:
    animal, tool = sorted(small.meanings("orca"))
    assert small.numbered(["whale", "orca", "goose"])[1] == f"{animal} orca"
    assert small.numbered(["tool", "orca", "bus", "quickly"])[1:] == [
        f"{tool} orca",
        f"{min(small.meanings('bus'))} bus",
        "quickly",
    ]


def test_folder_that_is_none_and_files_that_are_broken_are_named(small: WordNet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no index.noun.*wordnet-base"):
        read_wordnet(tmp_path / "nowhere")
    (small.folder / "index.noun").write_text("  1 licence\norca n many\n")
    with pytest.raises(InvalidInputError, match=r"index.noun line 2 is no line"):
        read_wordnet(small.folder).meanings("orca")
    (small.folder / "index.noun").write_text("orca n 1 0 1 0 00000007\n")
    with pytest.raises(InvalidInputError, match=r"no synset at 00000007.*one release"):
        read_wordnet(small.folder).kinds_of("orca")


@pytest.fixture(scope="module")
def debian() -> WordNet:
    if not (DEBIAN / "data.noun").is_file():
        pytest.skip(f"no WordNet at {DEBIAN}; Debian's package wordnet-base has it")
    return read_wordnet(DEBIAN)


@pytest.mark.data
def test_real_database_knows_synonyms_plurals_and_kinds(debian: WordNet) -> None:
    assert debian.meanings("orca") & debian.meanings("killer whale")
    assert debian.meanings("Motorbikes") == debian.meanings("minibike")
    assert debian.meanings("geese") & debian.meanings("goose")
    assert debian.meanings("n02124075_Egyptian_cat") == {"n02124075"}
    assert debian.meanings("dog") & debian.kinds_of("beagle") == {"n02084071"}
    assert "n00001740" in debian.kinds_of("beagle"), "an entity, at the top"


@pytest.mark.data
def test_of_cifar10_imagenet_has_no_class_by_name_and_the_kinds_of_nine(debian: WordNet) -> None:
    numbered = frozenset(debian.numbered(imagenet_classes()))
    assert Overlap(numbered, meanings=debian.meanings).classes(CIFAR10) == frozenset()
    found = Overlap(numbered, meanings=debian.meanings, kinds_of=debian.kinds_of).classes(CIFAR10)
    assert found == {*CIFAR10} - {"deer"}
    # Without numbers a dog is a frankfurter, and a carpenter's plane an airplane.
    assert Overlap(frozenset(imagenet_classes()), meanings=debian.meanings).classes(CIFAR10) == {"airplane", "dog"}


@pytest.mark.data
def test_numbers_are_imagenets_own_but_where_two_meanings_stand_side_by_side(debian: WordNet, data_folder: Path) -> None:
    """955 of 1,000: the others are such as a boat that is called amphibian, beside a car that is."""
    own = load("imagenet-samples-1000", data_folder, Split.TEST).classes
    numbered = debian.numbered(imagenet_classes())
    right = [a.split()[0] == b.split("_")[0] for a, b in zip(numbered, own, strict=True)]
    assert sum(right) >= 950
    assert sum(name.startswith(("n0", "n1")) for name in numbered) >= 998


@pytest.mark.parametrize("word_count", ["zz", ""])
def test_data_line_that_is_none_is_refused_with_where_it_stands(small: WordNet, tmp_path: Path, word_count: str) -> None:
    [synset] = small.meanings("whale")
    text = (tmp_path / "data.noun").read_text()
    start = text.index(synset[1:] + " 05")
    line = f"{synset[1:]} 05 n {word_count} whale".rstrip() if word_count else f"{synset[1:]} 05"
    (tmp_path / "data.noun").write_text(text[:start] + line + "\n" + text[text.index("\n", start) + 1 :])
    with pytest.raises(InvalidInputError, match=rf"data\.noun: what stands at {synset[1:]} is no line"):
        WordNet(tmp_path).meanings(f"{synset} whale")


def test_pointers_that_are_cut_off_are_refused(small: WordNet, tmp_path: Path) -> None:
    [synset] = small.meanings("whale")
    text = (tmp_path / "data.noun").read_text()
    start = text.index(synset[1:] + " 05")
    (tmp_path / "data.noun").write_text(text[: text.index("@", start) + 1])
    with pytest.raises(InvalidInputError, match="no synset at"):
        WordNet(tmp_path).kinds_of("whale")


@pytest.mark.parametrize("line", ["whale n 0 1 @ 0 0 00000012", "whale n 9 1 @ 9 0 00000012", "whale n -1 1 @ 1 0 00000012"])
def test_index_line_whose_count_is_not_its_offsets_is_refused(small: WordNet, tmp_path: Path, line: str) -> None:
    (tmp_path / "index.noun").write_text(f"  1 licence\n{line}\n")
    with pytest.raises(InvalidInputError, match=r"index\.noun line 2 is no line"):
        small.meanings("whale")
