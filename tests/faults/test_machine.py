"""What the machine itself takes away: files, space for names, a home, the time of day."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS, Ended, check_refusal, kubectl_airgap, run
from tests.support.registry import Registry
from tests.support.stored import Stored, store_image
from tests.support.tools import require

pytestmark = pytest.mark.undisturbed  # what measures coverage writes files of its own

PROGRAM = SCRIPTS / "kubectl-airgap"


@pytest.fixture(scope="module")
def stored_once(registry: Registry) -> Stored:
    return store_image(registry)


@pytest.fixture(scope="module")
def packed(stored_once: Stored, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was made under no such conditions."""
    path = tmp_path_factory.mktemp("packed") / "x.tar"
    assert kubectl_airgap("pack", "--image", image(stored_once), "-o", path).returncode == 0
    return path


def image(stored: Stored) -> str:
    return str(stored.reference(stored.registry.host))


def under(*prefix: str, stored: Stored, bundle: Path, env: dict[str, str] | None = None) -> Ended:
    """A pack under another program's conditions."""
    return run(*prefix, PROGRAM, "pack", "--quiet", "--image", image(stored), "-o", bundle, env=env)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        pytest.param("--fsize=100000", "--split", id="F36-file-too-large"),
        pytest.param("--nofile=5", "ulimit -n", id="F36-too-many-open-files"),
    ],
)
def test_a_limit_of_the_system_is_said_and_leaves_a_whole_bundle(
    stored_once: Stored, packed: Path, tmp_path: Path, limit: str, words: str
) -> None:
    bundle = tmp_path / "x.tar"
    bundle.write_bytes(b"an older bundle")
    done = under(require("prlimit"), limit, stored=stored_once, bundle=bundle)
    assert done.returncode in (1, 4), done.stderr
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert bundle.read_bytes() in (b"an older bundle", packed.read_bytes())  # the last thing to fail is a flush


@pytest.fixture
def without_names(tmp_path: Path) -> Iterator[Path]:
    """A file system that has room for bytes and none for another name."""
    place = tmp_path / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=2", "tmpfs", str(place)], check=True)
    (place / "x.tar").write_bytes(b"an older bundle")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_f36_a_disk_without_room_for_another_name_keeps_the_older_bundle(
    stored_once: Stored, without_names: Path
) -> None:
    done = under(stored=stored_once, bundle=without_names / "x.tar")
    check_refusal(done, 1, "No space left", "hint: ")
    assert (without_names / "x.tar").read_bytes() == b"an older bundle"


@pytest.fixture
def read_only(tmp_path: Path, packed: Path) -> Iterator[Path]:
    """A folder with a bundle that nothing can be written to, not even by root."""
    place = tmp_path / "read-only"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True)
    shutil.copy(packed, place / "x.tar")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_f52_a_folder_that_cannot_be_written_is_refused_before_anything_is_fetched(
    stored_once: Stored, read_only: Path
) -> None:
    check_refusal(under(stored=stored_once, bundle=read_only / "y.tar"), 4, "read-only file system")


def test_f52_a_bundle_is_pushed_from_where_nothing_can_be_written(
    read_only: Path, other_registry: Registry, tmp_path: Path
) -> None:
    target, lock = other_registry.repository(), tmp_path / "lock.yaml"
    done = kubectl_airgap("push", read_only / "x.tar", target, "--lock", lock, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert lock.is_file()


@pytest.mark.parametrize("home", [pytest.param("/nonexistent", id="F52-home-absent"), pytest.param("", id="F52-none")])
def test_neither_a_home_nor_room_for_temporary_files_is_needed(
    stored_once: Stored, packed: Path, tmp_path: Path, home: str, other_registry: Registry
) -> None:
    env = {"HOME": home, "TMPDIR": "/nonexistent"}
    bundle = tmp_path / "x.tar"
    assert under(stored=stored_once, bundle=bundle, env=env).returncode == 0
    assert bundle.read_bytes() == packed.read_bytes()
    done = kubectl_airgap("push", bundle, other_registry.repository(), env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "clock", [pytest.param("1970-01-02", id="F51-1970"), pytest.param("2038-02-01", id="F51-2038")]
)
def test_a_clock_that_is_wrong_changes_no_byte_of_a_bundle(
    stored_once: Stored, packed: Path, tmp_path: Path, clock: str, other_registry: Registry
) -> None:
    wrong = (require("faketime"), clock)
    bundle = tmp_path / "x.tar"
    done = under(*wrong, stored=stored_once, bundle=bundle)
    assert done.returncode == 0, done.stderr
    assert bundle.read_bytes() == packed.read_bytes()
    for words in (("verify", bundle), ("push", bundle, other_registry.repository())):
        done = run(*wrong, PROGRAM, *words)
        assert done.returncode == 0, done.stderr
