from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from tests.support.cli import run

from airgap import durable
from airgap.errors import AirgapError, InvalidInput, NoSpace, StoreError


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.add(path.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(200):
        durable.write_file(path, b"%03d" % number * 1000)
    over.set()
    watcher.join()
    assert all(len(data) in (3, 3000) for data in seen)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace, match="No space left"):
        durable.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.undisturbed
def test_data_is_flushed_before_the_rename_and_the_directory_after_it(tmp_path: Path) -> None:
    program = (
        f"from airgap import durable; from pathlib import Path; durable.write_file(Path({str(tmp_path / 'x')!r}), b'1')"
    )

    log = tmp_path / "log"
    done = run("strace", "-f", "-qq", "-e", "trace=fsync,rename,renameat2", "-o", log, sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    calls = [line.split()[1].partition("(")[0] for line in log.read_text().splitlines()]
    assert calls == ["fsync", "rename", "fsync"]


def test_the_mode_is_subject_to_the_umask_unless_it_is_private(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        durable.write_file(tmp_path / "shared", b"")
        durable.write_file(tmp_path / "private", b"", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        durable.locked(tmp_path / "lock"),
        pytest.raises(StoreError, match="another process"),
        durable.locked(tmp_path / "lock"),
    ):
        pytest.fail("two hold it")
    with durable.locked(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()


def test_too_little_space_is_said_with_both_numbers(tmp_path: Path) -> None:
    free = durable.free_space(tmp_path)
    durable.require_space(tmp_path, 1, "a thing")
    with pytest.raises(NoSpace, match=str(free + 10**15)):
        durable.require_space(tmp_path, free + 10**15, "a thing")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (2, InvalidInput),
        (13, StoreError),
        (28, NoSpace),
        (122, NoSpace),
        (27, NoSpace),
        (5, StoreError),
        (24, StoreError),
    ],
)
def test_what_the_system_refuses_is_explained(number: int, kind: type[AirgapError]) -> None:
    error = durable.explain(OSError(number, os.strerror(number)), "some/path")
    assert type(error) is kind
    assert "some/path" in error.message
