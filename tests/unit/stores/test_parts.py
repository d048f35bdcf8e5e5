from __future__ import annotations

import json
import os
import random
import threading
from pathlib import Path

import pytest

from airgap import limits, strictjson
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import AirgapError, DamagedBundle, InvalidInput, StoreError
from airgap.stores import media, partlist
from airgap.stores.archive import ArchiveLayout, ArchiveWriter
from airgap.stores.partlist import Listing, Part
from airgap.stores.parts import PartsCanvas, PartsMedium

INVENTORY = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
PART = 100_000
SIZE = 3 * PART + 5


def content(seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(SIZE)


def write(archive: Path, data: bytes, inventory: str = INVENTORY, part: int = PART) -> None:
    """A finished set, written from its end to its start."""
    canvas = PartsCanvas(archive, len(data), part, inventory)
    for start in reversed(range(0, len(data), 70_000)):
        canvas.write_at(data[start : start + 70_000], start)
        canvas.settle(start, min(70_000, len(data) - start))
    canvas.finish()
    canvas.close()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "x.tar"
    write(path, content())
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def numbered(archive: Path, number: int) -> Path:
    return archive.with_name(f"{archive.name}.{number:03}")


def test_joined_parts_are_the_archive_and_the_list_tells_them(archive: Path) -> None:
    assert names(archive.parent) == ["x.tar.001", "x.tar.002", "x.tar.003", "x.tar.004", "x.tar.parts.json"]
    assert b"".join(numbered(archive, n).read_bytes() for n in range(1, 5)) == content()
    value = json.loads(partlist.list_of(archive).read_bytes())
    assert {key: value[key] for key in ("name", "size", "inventory")} == {
        "name": "x.tar",
        "size": SIZE,
        "inventory": INVENTORY,
    }
    assert value["parts"][3] == {
        "name": "x.tar.004",
        "size": 5,
        "digest": Descriptor.of(content()[-5:], "x").digest,
        "head": Descriptor.of(content()[-5:], "x").digest,
    }
    assert value["parts"][0]["head"] == Descriptor.of(content()[: limits.PART_HEAD], "x").digest


@pytest.mark.parametrize(("offset", "count"), [(0, SIZE), (PART - 1, 2), (PART, PART), (SIZE - 7, 7), (SIZE - 3, 99)])
def test_regions_are_read_across_parts(archive: Path, offset: int, count: int) -> None:
    assert media.read(PartsMedium(archive), count, offset) == content()[offset : offset + count]


def test_many_parts_need_few_open_files(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not used
    write(tmp_path / "x.tar", content()[:5_000], part=10)
    medium = PartsMedium(tmp_path / "x.tar")
    assert media.read(medium, 5_000, 0) == content()[:5_000]
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208


def test_more_parts_than_their_numbers_have_digits_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="1000 parts") as caught:
        PartsCanvas(tmp_path / "x.tar", 1000, 1, INVENTORY)
    assert "2 bytes" in caught.value.hint
    assert names(tmp_path) == []


def test_all_names_of_a_set_mean_it_and_a_file_means_itself(archive: Path, tmp_path: Path) -> None:
    for name in ("x.tar", "x.tar.001", "x.tar.003", "x.tar.parts.json"):
        assert partlist.archive_of(tmp_path / name) == archive
    (tmp_path / "y.tar").write_bytes(b"")
    assert partlist.archive_of(tmp_path / "y.tar") is None
    (tmp_path / "release-2.100").write_bytes(b"")
    assert partlist.archive_of(tmp_path / "release-2.100") is None
    assert partlist.archive_of(tmp_path / "nothing.tar") is None


def test_a_set_that_was_renamed_as_a_whole_is_understood(archive: Path, tmp_path: Path) -> None:
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("x.tar", "other.tar"))
    assert media.read(PartsMedium(tmp_path / "other.tar"), SIZE, 0) == content()


def test_parts_of_an_older_larger_set_are_not_mixed_in(archive: Path) -> None:
    numbered(archive, 5).write_bytes(b"left behind")
    assert PartsMedium(archive).size == SIZE


def test_parts_without_their_list_are_refused_with_both_ways_out(archive: Path) -> None:
    partlist.list_of(archive).unlink()
    with pytest.raises(DamagedBundle, match=r"x\.tar\.parts\.json` is missing") as caught:
        PartsMedium(archive)
    assert "cat x.tar.[0-9]* > x.tar" in caught.value.hint
    assert partlist.archive_of(archive) == archive


def changed(archive: Path, **change: object) -> None:
    path = partlist.list_of(archive)
    path.write_bytes(strictjson.dumps({**json.loads(path.read_bytes()), **change}))


ROW = {"name": "x.tar.001", "size": SIZE, "digest": INVENTORY, "head": INVENTORY}


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 2},
        {"mediaType": "text/plain"},
        {"size": SIZE + 1},
        {"size": float(SIZE)} | {"parts": []},
        {"inventory": "latest"},
        {"parts": 7},
        {"parts": [7]},
        {"parts": [{**ROW, "name": "../x.tar.001"}]},
        {"parts": [{**ROW, "name": "x.tar.002"}]},
        {"parts": [{**ROW, "size": -1}], "size": -1},
        {"parts": [{**ROW, "size": True}], "size": 1},
        {"parts": [{**ROW, "head": "sha256:x"}]},
        {"parts": [{"name": "x.tar.001"}]},
    ],
)
def test_a_list_that_cannot_be_is_refused(archive: Path, change: dict[str, object]) -> None:
    changed(archive, **change)
    with pytest.raises(DamagedBundle):
        PartsMedium(archive)


def test_a_list_without_end_is_not_read_to_it(archive: Path) -> None:
    os.truncate(partlist.list_of(archive), limits.PARTS_LIST + 1)
    with pytest.raises(DamagedBundle, match="more than"):
        PartsMedium(archive)


def test_a_list_reads_as_it_was_written() -> None:
    listing = Listing("x.tar", INVENTORY, (Part("x.tar.001", 5, INVENTORY, OTHER),))
    assert partlist.loads(partlist.dumps(listing), "a test") == listing


def test_an_interrupted_set_is_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    first = PartsCanvas(path, SIZE, PART, INVENTORY)
    assert not first.resumed
    first.write_at(content()[:150_000], 0)
    first.close()
    assert "x.tar.parts.json" not in names(tmp_path)
    again = PartsCanvas(path, SIZE, PART, INVENTORY)
    assert again.resumed
    assert media.read(_Sized(again, SIZE), 150_000, 0) == content()[:150_000]
    again.close()


class _Sized:
    """A canvas, read as a medium."""

    def __init__(self, canvas: PartsCanvas, size: int) -> None:
        self.place, self.size = canvas.place, size
        self.read_into, self.close = canvas.read_into, canvas.close


def test_what_a_larger_set_that_was_never_finished_left_goes_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    PartsCanvas(path, SIZE, PART // 2, OTHER).close()
    assert numbered(path, 7).exists()
    canvas = PartsCanvas(path, SIZE, PART, INVENTORY)
    canvas.write_at(content(), 0)
    assert numbered(path, 7).exists()
    canvas.finish()
    canvas.close()
    assert names(tmp_path) == ["x.tar.001", "x.tar.002", "x.tar.003", "x.tar.004", "x.tar.parts.json"]
    assert media.read(PartsMedium(path), SIZE, 0) == content()


def test_a_whole_set_of_another_archive_is_never_written_over(archive: Path, tmp_path: Path) -> None:
    for part in (PART, PART // 2):
        with pytest.raises(InvalidInput, match="not of this bundle"):
            PartsCanvas(archive, SIZE, part, OTHER)
    assert media.read(PartsMedium(archive), SIZE, 0) == content()
    assert not [name for name in names(tmp_path) if "partial" in name]


def test_a_set_whose_list_is_damaged_is_not_written_over(archive: Path, tmp_path: Path) -> None:
    partlist.list_of(archive).write_bytes(b"{")
    with pytest.raises(InvalidInput, match="not of this bundle"):
        PartsCanvas(archive, SIZE, PART, INVENTORY)
    assert not [name for name in names(tmp_path) if "partial" in name]


def test_a_name_that_is_too_long_is_said_to_be_so() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        partlist.archive_of(Path("x" * 300))


def test_the_same_set_is_written_again_into_itself(archive: Path, tmp_path: Path) -> None:
    before = partlist.list_of(archive).read_bytes()
    numbered(archive, 2).write_bytes(b"?" * PART)
    write(archive, content())
    assert partlist.list_of(archive).read_bytes() == before
    assert media.read(PartsMedium(archive), SIZE, 0) == content()
    assert len(names(tmp_path)) == 5


@pytest.mark.parametrize("number", [1, 3, 9])
def test_files_that_only_look_like_parts_are_never_written_over(tmp_path: Path, number: int) -> None:
    foreign = numbered(tmp_path / "x.tar", number)
    foreign.write_bytes(b"somebody's only copy")
    with pytest.raises(InvalidInput, match=foreign.name):
        PartsCanvas(tmp_path / "x.tar", SIZE, PART, INVENTORY)
    assert foreign.read_bytes() == b"somebody's only copy"
    assert names(tmp_path) == [foreign.name]


def test_a_file_by_the_archives_own_name_stands_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"an older bundle")
    with pytest.raises(InvalidInput, match=r"x\.tar"):
        PartsCanvas(tmp_path / "x.tar", SIZE, PART, INVENTORY)


def test_a_part_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    PartsCanvas(path, SIZE, PART, INVENTORY).close()
    numbered(path, 2).unlink()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    numbered(path, 2).symlink_to(victim)
    with pytest.raises(AirgapError):
        PartsCanvas(path, SIZE, PART, INVENTORY)
    assert victim.read_bytes() == b"precious"


def test_two_cannot_write_one_set(tmp_path: Path) -> None:
    canvas = PartsCanvas(tmp_path / "x.tar", SIZE, PART, INVENTORY)
    with pytest.raises(StoreError, match="another process"):
        PartsCanvas(tmp_path / "x.tar", SIZE, PART, INVENTORY)
    canvas.close()
    PartsCanvas(tmp_path / "x.tar", SIZE, PART, INVENTORY).close()


def test_blobs_go_to_their_places_whatever_part_they_are_in(tmp_path: Path) -> None:
    blobs = {f"{n}": random.Random(n).randbytes(30_000 + n) for n in range(12)}
    described = [Descriptor.of(data, OCI_LAYER) for data in blobs.values()]
    layout = ArchiveLayout.of([("first", b"1")], described)
    path = tmp_path / "x.tar"
    with ArchiveWriter(PartsCanvas(path, layout.size, 50_000, INVENTORY), layout) as writer:
        threads = [
            threading.Thread(target=writer.put_blob, args=("", blob, lambda offset, data=data: iter([data[offset:]])))
            for blob, data in zip(described, blobs.values(), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.finish()
    medium = PartsMedium(path)
    base = len(layout.leading)
    for blob, data in zip(described, blobs.values(), strict=True):
        assert media.read(medium, blob.size, base + layout.offsets[blob.digest]) == data
