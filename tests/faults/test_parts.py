"""Parts that are missing, mixed up or too large for a file system, by the numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.bundles import frame, hollow, write_hollow
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.images import add_image

from airgap import limits
from airgap.bundles.composition import INVENTORY_FILE, Composition, Label, compose, digest_of
from airgap.bundles.reader import read
from airgap.bundles.signing import ANYBODY
from airgap.descriptors import Descriptor
from airgap.errors import DamagedBundle
from airgap.operations import inspect, places, verify
from airgap.operations.environment import Run
from airgap.references import Reference
from airgap.stores import partlist
from airgap.stores.archive import ArchiveReader
from airgap.stores.media import FileMedium
from airgap.stores.memory import MemoryStore
from airgap.stores.partlist import Listing, Part
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

NAME = Reference.parse("r.io/a:1")
PART = 150_000


def composed(seed: int) -> tuple[MemoryStore, Composition]:
    store = MemoryStore()
    add_image(store, str(NAME), seed=seed, size=400_000)
    return store, compose(walk(store, [NAME]), {}, Label("x"))


def split(archive: Path, seed: int = 1, part: int = PART) -> Path:
    """A bundle in parts."""
    archive.parent.mkdir(exist_ok=True)
    store, composition = composed(seed)
    with places.create(str(archive), composition, Run(), part) as writer:
        engine.run(plan.plan(walk(store, [NAME]), writer, {NAME: NAME}), store, writer)
        writer.finish()
    return archive


@pytest.fixture(scope="module")
def set_of_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split(tmp_path_factory.mktemp("parts") / "x.tar")


@pytest.fixture
def archive(set_of_parts: Path, tmp_path: Path) -> Path:
    """A copy to damage: four full parts and a short one."""
    shutil.copytree(set_of_parts.parent, tmp_path / "set")
    assert len(list((tmp_path / "set").iterdir())) == 6
    return tmp_path / "set" / "x.tar"


def part(archive: Path, number: int) -> Path:
    return partlist.numbered(archive, number)


def swap(archive: Path) -> None:
    one, two = part(archive, 2).read_bytes(), part(archive, 4).read_bytes()
    part(archive, 2).write_bytes(two)
    part(archive, 4).write_bytes(one)


def swap_with_the_last(archive: Path) -> None:
    one, two = part(archive, 2).read_bytes(), part(archive, 5).read_bytes()
    part(archive, 2).write_bytes(two)
    part(archive, 5).write_bytes(one)


def take_from_another(archive: Path) -> None:
    other = split(archive.parent.parent / "other" / "x.tar", seed=2)
    shutil.copy(part(other, 3), part(archive, 3))


def drop(*numbers: int) -> Callable[[Path], None]:
    def damage(archive: Path) -> None:
        for number in numbers:
            part(archive, number).unlink()

    return damage


def make_a_directory(archive: Path) -> None:
    part(archive, 1).unlink()
    part(archive, 1).mkdir()


CASES: dict[str, tuple[Callable[[Path], object], dict[int, str]]] = {
    "missing": (drop(3), {3: "is missing"}),
    "several-missing": (drop(1, 5), {1: "is missing", 5: "is missing"}),
    "swapped": (swap, {2: "has the bytes of part 4", 4: "has the bytes of part 2"}),
    "swapped-with-the-last": (swap_with_the_last, {2: "has the bytes of part 5", 5: "has the bytes of part 2"}),
    "duplicated": (lambda a: shutil.copy(part(a, 1), part(a, 2)), {2: "has the bytes of part 1"}),
    "from-another-set": (take_from_another, {3: "is damaged, or of another bundle"}),
    "short": (lambda a: os.truncate(part(a, 4), PART - 1), {4: f"is cut off: {PART - 1} of {PART} bytes"}),
    "empty": (lambda a: os.truncate(part(a, 4), 0), {4: "is damaged, or of another bundle"}),
    "long": (lambda a: os.truncate(part(a, 1), PART + 9), {1: "has 9 bytes too many"}),
    "a-directory": (make_a_directory, {1: "is no plain file"}),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=f"F48-{name}") for name, case in CASES.items()])
def test_a_wrong_part_is_named_before_anything_is_read(
    archive: Path, case: tuple[Callable[[Path], object], dict[int, str]]
) -> None:
    damage, words = case
    damage(archive)
    with pytest.raises(DamagedBundle) as caught:
        places.open_bundle(str(archive), Run())
    lines = caught.value.message.splitlines()[1:]
    assert lines == [f"  `x.tar.{number:03}` {why}" for number, why in words.items()]
    assert caught.value.hint == "carry over again: " + ", ".join(f"x.tar.{number:03}" for number in words)


def test_f48_a_part_with_a_flipped_bit_is_named_with_what_it_spoils(archive: Path) -> None:
    path = part(archive, 3)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with places.open_bundle(str(archive), Run()) as bundle, pytest.raises(DamagedBundle) as caught:
        verify.verify(bundle, Run())
    assert "1 of 4 blobs are damaged" in caught.value.message
    assert "damaged parts: `x.tar.003`" in caught.value.message
    assert caught.value.hint == "send only x.tar.003 again, then verify again"


def test_f48_a_list_of_another_set_is_noticed(archive: Path) -> None:
    listing = partlist.read_list(archive)
    other = Listing(listing.name, "sha256:" + "0" * 64, listing.parts)
    partlist.list_of(archive).write_bytes(partlist.dumps(other))
    with pytest.raises(DamagedBundle, match="of another bundle"):
        places.open_bundle(str(archive), Run())


def test_f48_the_command_line_names_the_part_and_what_to_do(archive: Path) -> None:
    part(archive, 2).unlink()
    done = kubectl_airgap("push", archive, "127.0.0.1:1/x")
    check_refusal(done, 3, "`x.tar.002` is missing", "hint: carry over again: x.tar.002")


def test_f50_a_layer_of_more_than_eight_gib_is_read_where_tar_finds_it(tmp_path: Path) -> None:
    store, composition, large = hollow(9 * limits.GIB + 5)
    path = tmp_path / "x.tar"
    write_hollow(path, store, composition)
    with read(ArchiveReader(FileMedium(path)), ANYBODY) as bundle:
        assert inspect.contents(bundle).asked[0].size > 9 * limits.GIB
        assert b"".join(bundle.store.blob("", large, large.size - 3)) == bytes(3)
        bundle.store.check_frame()
    with tarfile.open(path) as archive:
        assert archive.getmember(large.blob_path).size == large.size


def test_f50_parts_may_be_as_large_as_fat32_allows(tmp_path: Path) -> None:
    """Two sparse parts of 4 GiB - 1, and a short one."""
    most = 4 * limits.GIB - 1
    store, composition, large = hollow(9 * limits.GIB + 5)
    archive, size = tmp_path / "x.tar", composition.layout.size
    sizes = [min(most, size - start) for start in range(0, size, most)]
    for number, count in enumerate(sizes, 1):
        part(archive, number).touch()
        os.truncate(part(archive, number), count)
    for offset, data in frame(store, composition):
        with part(archive, offset // most + 1).open("r+b") as file:
            file.seek(offset % most)
            file.write(data)
    write_list(archive, composition, sizes)
    with places.open_bundle(str(archive), Run()) as bundle:
        assert bundle.store.size == size
        assert b"".join(bundle.store.blob("", large, large.size - 3)) == bytes(3)
        bundle.store.check_frame()


def write_list(archive: Path, composition: Composition, sizes: list[int]) -> None:
    rows = []
    for number, size in enumerate(sizes, 1):
        path = part(archive, number)
        with path.open("rb") as file:
            head = Descriptor.of(file.read(limits.PART_HEAD), "x").digest
        rows.append(Part(path.name, size, head, head))
    inventory = digest_of(composition.documents[INVENTORY_FILE])
    partlist.list_of(archive).write_bytes(partlist.dumps(Listing(archive.name, inventory, tuple(rows))))


def test_f50_a_file_system_that_takes_no_larger_files_is_told_from_a_full_disk(tmp_path: Path) -> None:
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(Exception, match="too large") as caught:
            places.create(str(tmp_path / "x.tar"), composed(1)[1], Run())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "--split" in caught.value.hint  # type: ignore[attr-defined]
