"""Writing bundles against all odds, by the numbers in the catalogue (docs/faults.md): killed, raced, misdirected."""

from __future__ import annotations

import collections
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import run
from tests.support.images import add_image

from airgap.bundles import lock as locks
from airgap.bundles.composition import Label, compose
from airgap.bundles.lock import Lock, LockEntry
from airgap.errors import InvalidInput, StoreError
from airgap.operations import pack, places, verify
from airgap.operations.environment import Run
from airgap.operations.pack import Packing
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer.graph import walk

NAMES = [Reference.parse(f"r.io/{name}:1") for name in "abc"]
PART = 60_000


def origin() -> MemoryStore:
    store = MemoryStore()
    for seed, name in enumerate(NAMES):
        add_image(store, str(name), seed=seed, size=30_000)
    return store


def packing(place: Path, split: int) -> Packing:
    """What `pack` would write; the same whoever asks."""
    store = origin()
    graph = walk(store, NAMES)
    return Packing(str(place), graph, compose(graph, {}, Label("x")), store, store, None, split)


def write(place: Path, split: int = 0) -> None:
    pack.write(packing(place, split), Run(workers=1))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module", params=[0, PART], ids=["one-file", "parts"])
def split(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def undisturbed(split: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run leaves that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write(folder / "x.tar", split)
    return content(folder)


# A run in a process of its own, from which strace sees nothing but the writing: all else is done before.
CHILD = """
import os, sys
from pathlib import Path
from tests.faults.test_writing import packing
from airgap.operations import pack
from airgap.operations.environment import Run
ready = packing(Path(sys.argv[1]), int(sys.argv[2]))
pack.write(ready, Run(workers=1))
"""
HOLD = """
import time
from airgap.operations import places
writer = places.create(ready.place, ready.composition, Run(), ready.split)
print("open", flush=True)
time.sleep(60)
"""
DURABLE = ("pwrite64", "fsync", "rename", "ftruncate", "fallocate", "unlink")


def traced(place: Path, split: int, *options: str) -> int:
    """Write under strace; the exit code."""
    environment = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    done = run("strace", "-f", "-qq", *options, sys.executable, "-c", CHILD, place, split, env=environment)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    return done.returncode


def durable_calls(log: str) -> collections.Counter[tuple[str, str]]:
    """(thread, call) → how often; strace counts each thread's calls on their own."""
    return collections.Counter(re.findall(r"^(\d+) +(\w+)\(", log, re.MULTILINE))


def steps(folder: Path, split: int) -> list[tuple[str, int]]:
    """Every durable call of a run, of the many writes in place some: the first, the last and one between."""
    log = folder / "log"
    assert traced(folder / "x.tar", split, "-o", str(log), "-e", f"trace={','.join(DURABLE)}") == 0
    most: collections.Counter[str] = collections.Counter()
    for (_, call), count in durable_calls(log.read_text()).items():
        most[call] = max(most[call], count)
    log.unlink()
    writes = most.pop("pwrite64")
    return [("pwrite64", n) for n in (1, writes // 2, writes)] + [(c, n) for c in most for n in range(1, most[c] + 1)]


@pytest.mark.undisturbed
def test_f37_f49_killed_at_any_durable_step_the_next_run_gives_the_same_bytes(
    undisturbed: dict[str, bytes], split: int, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"
    tried.mkdir()
    killed = 0
    for call, number in steps(tried, split):
        folder = tmp_path / f"{call}-{number}"
        folder.mkdir()
        place = folder / "x.tar"
        inject = f"inject={call}:signal=KILL:when={number}"
        killed += traced(place, split, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject) != 0
        check_old_or_whole(folder, undisturbed)
        write(place, split)
        assert content(folder) == undisturbed, (call, number)
    assert killed >= (8 if not split else 15)


def check_old_or_whole(folder: Path, undisturbed: dict[str, bytes]) -> None:
    """What has a finished bundle's name after a kill is one."""
    for name in ("x.tar", "x.tar.parts.json"):
        if (folder / name).exists():
            assert {key: data for key, data in content(folder).items() if key in undisturbed} == undisturbed


def calls(log: str) -> list[tuple[str, str]]:
    """(call, the path it is about) of the calls of an strace log with -y."""
    found = re.findall(r"^\d+ +(\w+)\((?:\d+<([^>]*)>|\"([^\"]*)\"(?:, \"([^\"]*)\")?)", log, re.MULTILINE)
    return [(call, second or first or opened) for call, opened, first, second in found]


@pytest.mark.undisturbed
def test_f41_data_is_on_the_disk_before_its_name_and_the_name_before_the_end(split: int, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    log = tmp_path / "log"
    assert traced(folder / "x.tar", split, "-y", "-o", str(log), "-e", f"trace={','.join(DURABLE)}") == 0
    order = calls(log.read_text())
    last = "x.tar.parts.json" if split else "x.tar"
    named = next(n for n, (call, path) in enumerate(order) if call == "rename" and path == str(folder / last))
    before, after = order[:named], order[named:]
    files = [p for p in content(folder) if p != "x.tar.parts.json"] if split else ["x.tar.partial"]
    for name in files:
        about = [call for call, path in before if path == str(folder / name)]
        assert about[-1] == "fsync", name
        assert "pwrite64" in about
    assert ("fsync", str(folder)) in after
    assert not [path for call, path in after if call == "pwrite64"]


def writer_in_another_process(place: Path, split: int) -> subprocess.Popen[bytes]:
    """It has the lock and keeps it."""
    code = CHILD.replace("pack.write(ready, Run(workers=1))", HOLD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    command = [sys.executable, "-c", code, str(place), str(split)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def test_f42_f43_of_two_packers_one_writes_and_the_lock_of_one_that_was_killed_is_free(
    split: int, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    place = tmp_path / "x.tar"
    other = writer_in_another_process(place, split)
    try:
        with pytest.raises(StoreError, match="is being written by another process") as caught:
            write(place, split)
        assert caught.value.hint
    finally:
        other.kill()
        other.communicate()
    write(place, split)
    assert content(tmp_path) == undisturbed


def make_link(path: Path) -> None:
    path.with_name("victim").write_bytes(b"precious")
    path.symlink_to(path.with_name("victim"))


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "precious").touch()


KINDS = {
    "symlink": make_link,
    "dangling-symlink": lambda path: path.symlink_to("nowhere"),
    "fifo": os.mkfifo,
    "directory-of-other-things": make_directory,
}


@pytest.mark.parametrize("make", [pytest.param(make, id=f"F53-{name}") for name, make in KINDS.items()])
def test_what_is_no_plain_file_is_not_written_to(make: object, split: int, tmp_path: Path) -> None:
    place = tmp_path / "x.tar"
    make(place)  # type: ignore[operator]
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InvalidInput, match=r"not a plain file|neither empty|only a file"):
        places.check_new(str(place), split)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_f53_an_older_bundle_is_replaced_in_one_step_and_parts_do_not_hide_behind_it(tmp_path: Path) -> None:
    place = tmp_path / "x.tar"
    place.write_bytes(b"an older bundle")
    with pytest.raises(InvalidInput, match="as one file"):
        places.check_new(str(place), PART)
    write(place)
    assert list(content(tmp_path)) == ["x.tar"]
    with places.open_bundle(str(place), Run()) as bundle:
        assert verify.verify(bundle, Run()).counts == {"image": len(NAMES)}


def test_f53_a_partial_file_that_is_a_link_is_not_followed(tmp_path: Path, split: int) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ("x.tar.parts.json.partial" if split else "x.tar.partial")).symlink_to(victim)
    with pytest.raises(StoreError):
        write(tmp_path / "x.tar", split)
    assert victim.read_bytes() == b"precious"


@pytest.fixture(params=[0o000, 0o077], ids=["F54-umask-000", "F54-umask-077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield int(request.param)
    os.umask(before)


def test_files_are_as_open_as_the_umask_lets_them(umask: int, split: int, tmp_path: Path) -> None:
    write(tmp_path / "x.tar", split)
    entry = LockEntry(NAMES[0], "sha256:" + "a" * 64)
    locks.write(Lock.of([entry]), tmp_path / "x.lock.yaml")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o644 & ~umask)


def test_f54_a_directory_that_hands_its_group_on_does(split: int, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    os.chown(folder, -1, 4242)
    folder.chmod(0o2775)
    write(folder / "x.tar", split)
    assert {path.stat().st_gid for path in folder.iterdir()} == {4242}
