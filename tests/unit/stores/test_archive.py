from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bundles import writing

from airgap import durable, limits
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import DamagedBundle, StoreError
from airgap.stores import tar
from airgap.stores.archive import ArchiveLayout, blob_offsets


def blob(data: bytes) -> Descriptor:
    return Descriptor.of(data, OCI_LAYER)


def test_headers_are_those_that_python_and_gnu_tar_agree_on() -> None:
    head = tar.header("blobs/sha256/abc", 5)
    with tarfile.open(fileobj=io.BytesIO(head + b"hello" + tar.padding(5) + tar.END)) as archive:
        assert [(m.name, m.size, m.mtime, m.mode) for m in archive] == [("blobs/sha256/abc", 5, 0, 0o644)]


@given(st.text("abc/XYZ-09._", min_size=1, max_size=100), st.integers(0, 8 * limits.GIB - 1))
def test_headers_are_those_of_the_library(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert tar.header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_a_member_of_eight_gib_has_its_size_in_a_pax_record() -> None:
    size = 9 * limits.GIB
    head = tar.header("blobs/sha256/abc", size)
    assert len(head) == 3 * tar.BLOCK
    member = tar.read_member(lambda count, offset: head[offset : offset + count], 0, "a test")
    assert member == tar.Member("blobs/sha256/abc", size, 3 * tar.BLOCK)


def test_the_name_of_a_sha512_blob_has_a_pax_record_that_tar_reads(tmp_path: Path) -> None:
    content = Descriptor(OCI_LAYER, f"sha512:{hashlib.sha512(b'x').hexdigest()}", 1)
    path = tmp_path / "x.tar"
    with writing(path, ArchiveLayout.of([], [content])) as writer:
        writer.put_blob("", content, lambda _: iter([b"x"]))
        writer.finish()
    with tarfile.open(path) as archive:
        assert [(m.name, m.size) for m in archive] == [(content.blob_path, 1)]


@pytest.mark.parametrize("size", [0, 8 * limits.GIB - 1, 8 * limits.GIB])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_length_of_a_header_is_known_without_making_it(size: int, algorithm: str) -> None:
    name = f"blobs/{algorithm}/" + hashlib.new(algorithm).hexdigest()
    assert tar.header_size(name, size) == len(tar.header(name, size))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_only_regular_files_are_members(kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type = kind
    info.linkname = "y"
    head = info.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(DamagedBundle, match="no regular file"):
        tar.read_member(lambda count, offset: head[offset : offset + count], 0, "a test")


def test_a_header_with_a_wrong_checksum_is_refused() -> None:
    head = bytearray(tar.header("x", 5))
    head[0] ^= 1
    with pytest.raises(DamagedBundle, match="no tar header"):
        tar.read_member(lambda count, offset: bytes(head[offset : offset + count]), 0, "a test")


def test_the_end_mark_is_no_member() -> None:
    assert tar.read_member(lambda count, _: bytes(count), 0, "a test") is None


def test_offsets_are_where_tar_finds_the_content(tmp_path: Path) -> None:
    contents = [b"a" * 10, b"b" * 512, b"c" * 5000]
    layout = ArchiveLayout.of([("first", b"1"), ("second", b"2" * 600)], [blob(data) for data in contents])
    path = tmp_path / "x.tar"
    with writing(path, layout) as writer:
        for data in reversed(contents):
            writer.put_blob("", blob(data), lambda offset, data=data: iter([data[offset:]]))  # type: ignore[misc]
        writer.finish()
    assert path.stat().st_size == layout.size
    with tarfile.open(path) as archive:
        members = archive.getmembers()[2:]
    base = len(layout.leading)
    assert [m.offset_data for m in members] == [base + layout.offsets[blob(data).digest] for data in contents]


def test_offsets_do_not_depend_on_what_stands_before_the_blobs() -> None:
    blobs = [blob(b"x"), blob(b"y" * 1000)]
    assert ArchiveLayout.of([("a", b"")], blobs).offsets == ArchiveLayout.of([("a", b"z" * 9999)], blobs).offsets
    assert blob_offsets(blobs)[0] == ArchiveLayout.of([], blobs).offsets


def test_a_file_has_its_name_only_once_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with writing(path, ArchiveLayout.of([], [blob(b"x")])):
        assert not path.exists()
        assert (tmp_path / "x.tar.partial").exists()
    assert not path.exists()


def test_what_an_earlier_run_left_is_kept_if_its_bytes_are_right(tmp_path: Path) -> None:
    right, wrong = b"r" * 3_000, b"w" * 3_000
    layout = ArchiveLayout.of([("a", b"1")], [blob(right), blob(wrong)])
    path = tmp_path / "x.tar"
    with writing(path, layout) as writer:
        writer.put_blob("", blob(right), lambda offset: iter([right[offset:]]))
        writer.put_blob("", blob(wrong), lambda offset: iter([b"?" * 3_000]))
    with writing(path, layout) as again:
        assert again.has("", blob(right))
        assert not again.has("", blob(wrong))


def test_nothing_is_hashed_where_no_earlier_run_was(tmp_path: Path) -> None:
    empty = b""
    with writing(tmp_path / "x.tar", ArchiveLayout.of([], [blob(empty)])) as writer:
        assert not writer.has("", blob(empty))


def test_space_that_a_file_system_does_not_set_aside_is_taken_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_file: int, _offset: int, _size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    layout = ArchiveLayout.of([("a", b"1")], [blob(b"x")])
    made = []
    for allocate in (None, refuse):  # what macOS has, and what some file systems say
        if allocate is None:
            monkeypatch.delattr(os, "posix_fallocate")
        else:
            monkeypatch.setattr(os, "posix_fallocate", allocate, raising=False)
        with writing(tmp_path / "x.tar", layout) as writer:
            writer.put_blob("", blob(b"x"), lambda offset: iter([b"x"]))
            writer.finish()
        made.append((tmp_path / "x.tar").stat().st_size)
    assert made == [layout.size, layout.size]


def test_two_cannot_write_one_bundle(tmp_path: Path) -> None:
    layout = ArchiveLayout.of([], [blob(b"x")])
    with (
        writing(tmp_path / "x.tar", layout),
        pytest.raises(StoreError, match="another process"),
        writing(tmp_path / "x.tar", layout),
    ):
        pytest.fail("two write it")


def test_who_opens_a_file_that_is_published_meanwhile_starts_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = ArchiveLayout.of([], [blob(b"x")])
    path = tmp_path / "x.tar"
    hold = durable.hold
    published: list[Path] = []

    def hold_late(descriptor: int, place: Path) -> None:
        if not published:
            published.append(place.rename(path))  # the other one finishes between our opening and our lock
        hold(descriptor, place)

    (tmp_path / "x.tar.partial").write_bytes(b"whole, and published")
    monkeypatch.setattr(durable, "hold", hold_late)
    with writing(path, layout):
        assert path.read_bytes() == b"whole, and published"


def test_content_that_is_too_long_does_not_reach_its_neighbour(tmp_path: Path) -> None:
    first, second = b"1" * 512, b"2" * 512
    layout = ArchiveLayout.of([], [blob(first), blob(second)])
    with writing(tmp_path / "x.tar", layout) as writer:
        writer.put_blob("", blob(second), lambda _: iter([second]))
        with pytest.raises(DamagedBundle):
            writer.put_blob("", blob(first), lambda _: iter([first, b"more"]))
        assert (tmp_path / "x.tar.partial").read_bytes().count(b"more") == 0
