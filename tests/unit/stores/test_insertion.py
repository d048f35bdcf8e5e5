from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest
from tests.support.bundles import members, write_members

from airgap import durable
from airgap.errors import DamagedBundle, InvalidInput, NoSpace, StoreError
from airgap.stores.insertion import SUFFIX, put_member

CONTENT = {"first": b"1", "second": b"2" * 700, "third": b"3" * 3000, "fourth": b"4" * 5000}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "x.tar"
    write_members(path, CONTENT)
    return path


def put(path: Path, data: bytes, after: str = "second") -> None:
    put_member(path, "new", after, lambda found: data, 10_000)


def test_a_new_member_stands_behind_the_other_and_the_rest_is_as_it_was(archive: Path) -> None:
    put(archive, b"new content")
    found = members(archive)
    assert list(found) == ["first", "second", "new", "third", "fourth"]
    assert found == {**CONTENT, "new": b"new content"}
    other = archive.with_name("other.tar")
    write_members(other, found)
    assert archive.read_bytes() == other.read_bytes()


def test_a_member_that_fits_is_replaced_in_place_and_nothing_else_is_written(archive: Path) -> None:
    put(archive, b"old")
    before = archive.stat().st_ino
    put(archive, b"newer, and longer")
    assert archive.stat().st_ino == before
    assert members(archive) == {**CONTENT, "new": b"newer, and longer"}


@pytest.mark.parametrize("length", [1, 512, 513, 2000])
def test_a_member_of_any_other_length_is_replaced_too(archive: Path, length: int) -> None:
    put(archive, b"x" * 600)
    put(archive, b"y" * length)
    assert members(archive) == {**CONTENT, "new": b"y" * length}


def test_content_is_made_of_the_very_bytes_that_stand_before_it(archive: Path) -> None:
    seen = []
    put_member(archive, "new", "second", lambda found: seen.append(found) or b"x", 10_000)  # type: ignore[func-returns-value]
    assert seen == [CONTENT["second"]]


def test_the_file_keeps_its_mode_and_a_link_to_it_stays_a_link(archive: Path) -> None:
    archive.chmod(0o640)
    link = archive.with_name("link.tar")
    link.symlink_to(archive)
    put(link, b"x")
    assert link.is_symlink()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o640
    assert "new" in members(archive)


@pytest.mark.parametrize("failing", ["copy_range", "publish"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "full")])
def test_what_fails_on_the_way_leaves_the_archive_as_it_was_and_nothing_beside_it(
    archive: Path, failing: str, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise failure

    before = archive.read_bytes()
    monkeypatch.setattr(durable, failing, fail)
    with pytest.raises((KeyboardInterrupt, NoSpace)):
        put(archive, b"x")
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.iterdir()] == ["x.tar"]


def test_what_a_killed_run_left_beside_it_is_written_over(archive: Path) -> None:
    left = archive.with_name(archive.name + SUFFIX)
    left.write_bytes(b"half of it" * 10_000)
    put(archive, b"x")
    assert members(archive) == {**CONTENT, "new": b"x"}
    assert not left.exists()


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "free_space", lambda directory: 100)
    before = archive.read_bytes()
    with pytest.raises(NoSpace, match="has 100 free"):
        put(archive, b"x")
    assert archive.read_bytes() == before


def test_two_cannot_write_one_archive(archive: Path) -> None:
    with archive.open("rb") as file:
        durable.hold(file.fileno(), archive)
        with pytest.raises(StoreError, match="another process"):
            put(archive, b"x")


def test_a_kernel_that_copies_nothing_is_done_without(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(18, "between file systems")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    put(archive, b"x")
    assert members(archive) == {**CONTENT, "new": b"x"}


@pytest.mark.parametrize("data", [b"", b"x" * 2000, bytes(10_000)], ids=["empty", "garbage", "zeros"])
def test_what_is_no_archive_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(DamagedBundle):
        put(path, b"x")
    assert path.read_bytes() == data


def test_an_archive_without_the_other_member_is_left_alone(archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(DamagedBundle, match="`missing` is not where it must be"):
        put(archive, b"x", after="missing")
    assert archive.read_bytes() == before


def test_an_archive_that_is_cut_in_the_other_member_is_left_alone(archive: Path) -> None:
    cut = archive.read_bytes()[:2000]
    archive.write_bytes(cut)
    with pytest.raises(DamagedBundle):
        put(archive, b"x")
    assert archive.read_bytes() == cut


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="no plain file"):
        put(tmp_path / "pipe", b"x")
    with pytest.raises(StoreError, match="directory"):
        put(tmp_path, b"x")


def test_other_readers_find_the_member_too(archive: Path) -> None:
    put(archive, b"x")
    with tarfile.open(archive) as opened:
        assert opened.getmember("new").mode == 0o644
