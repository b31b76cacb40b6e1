"""What a bundle remembers of the images that made it: enough to recognise one, and refused when it was touched."""

from hashlib import sha256
from pathlib import Path

import pytest

from guard.errors import BundleError
from guard.seen import SEEN, Seen, read_seen

DIGESTS = [sha256(bytes([i])).digest() for i in range(50)]


def test_images_are_recognised_after_a_round_trip_and_others_are_not(tmp_path: Path) -> None:
    seen = Seen.of([*DIGESTS[:30], DIGESTS[0]], kinds=("collage",))
    (tmp_path / SEEN).write_bytes(seen.content())
    assert len(seen.content()) == 30 * 8
    found = read_seen(tmp_path, seen.spec())
    assert found == seen
    assert [digest in found for digest in DIGESTS] == [True] * 30 + [False] * 20


def test_order_of_the_images_does_not_show() -> None:
    assert Seen.of(DIGESTS).content() == Seen.of(DIGESTS[::-1]).content()


def test_manifest_that_does_not_tell_is_no_empty_list(tmp_path: Path) -> None:
    assert read_seen(tmp_path, None) is None


@pytest.mark.parametrize("case", ["missing", "short", "altered", "elsewhere"])
def test_file_that_is_not_the_manifests_is_refused(case: str, tmp_path: Path) -> None:
    seen = Seen.of(DIGESTS)
    content = seen.content()
    folder = tmp_path / "bundle"
    folder.mkdir()
    if case == "elsewhere":
        (tmp_path / "other").write_bytes(content)
        (folder / SEEN).symlink_to(tmp_path / "other")
    elif case != "missing":
        (folder / SEEN).write_bytes(content[:-8] if case == "short" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match="copy the bundle again"):
        read_seen(folder, seen.spec())


def test_loop_of_links_is_refused_as_a_bundle(tmp_path: Path) -> None:
    (tmp_path / SEEN).symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / SEEN)
    with pytest.raises(BundleError, match="copy the bundle again"):
        read_seen(tmp_path, Seen.of(DIGESTS).spec())
