"""What every store promises, said once and asked of each."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.images import add_image, add_index
from tests.support.registry import Registry, store_for
from tests.support.s3 import S3Server, bucket_files

from airgap import limits
from airgap.adapters.runtimes.choice import Choice, choose
from airgap.adapters.runtimes.kinds import Containerd
from airgap.bundles.reader import open_file
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import AirgapError, ContentMismatch, NotFound
from airgap.references import Reference
from airgap.stores import Chunk, Source, Target
from airgap.stores.containerd import ContentStore
from airgap.stores.directory import DirectoryFiles
from airgap.stores.layoutstore import LayoutStore
from airgap.stores.memory import MemoryStore
from airgap.stores.s3.location import Location
from airgap.stores.saved import SavedImages
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

NAMES = ("plain:1", "multi:2")


@dataclass(frozen=True)
class Filled:
    """A store that holds the images of `origin` under `names`."""

    source: Source
    origin: MemoryStore
    names: tuple[Reference, ...]
    damage: Callable[[Descriptor], None]


def made(repository: str) -> tuple[MemoryStore, tuple[Reference, ...]]:
    origin = MemoryStore()
    names = tuple(f"{repository}/{name}" for name in NAMES)
    add_image(origin, names[0], size=3 * limits.CHUNK)
    add_index(origin, names[1])
    return origin, tuple(Reference.parse(name) for name in names)


def transfer(origin: MemoryStore, names: tuple[Reference, ...], target: Target) -> None:
    graph = walk(origin, names)
    engine.run(plan.plan(graph, target, {name: name for name in names}), origin, target)


@pytest.fixture(scope="module")
def bundle_in_bucket(registry: Registry, s3: S3Server) -> tuple[Location, MemoryStore, tuple[Reference, ...]]:
    """The images of all tests that read from a bucket, since writing there takes its time."""
    location = s3.location()
    origin, names = made(registry.repository())
    with pytest.MonkeyPatch.context() as patched:
        s3.log_in(patched)
        with closing(LayoutStore(bucket_files(s3, location))) as bucket:
            transfer(origin, names, bucket)
    return location, origin, names


@pytest.fixture(params=["memory", "directory", "bucket", "archive", "registry", "saved", "containerd"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, registry: Registry, s3_login: S3Server) -> Iterator[Filled]:
    repository = registry.repository()
    origin, names = made(repository)
    if request.param == "memory":
        memory = MemoryStore()
        transfer(origin, names, memory)
        yield Filled(memory, origin, names, lambda d: memory.blobs.update({d.digest: flipped(memory.blobs[d.digest])}))
    elif request.param == "directory":
        files = DirectoryFiles.create(tmp_path / "layout")
        transfer(origin, names, LayoutStore(files))
        yield Filled(LayoutStore(files), origin, names, lambda d: flip_in(files.path / d.blob_path))
    elif request.param == "bucket":
        location, origin, names = request.getfixturevalue("bundle_in_bucket")
        damaged: list[str] = []

        def flip_there(blob: Descriptor) -> None:
            damaged.append(s3_login.change(location, blob.blob_path, flipped))

        with closing(LayoutStore(bucket_files(s3_login, location))) as bucket:
            yield Filled(bucket, origin, names, flip_there)
        for name in damaged:
            s3_login.change(location, name, flipped)
    elif request.param == "archive":
        path = tmp_path / "x.tar"
        layout = pack_into(path, origin, names).layout
        base = len(layout.leading)
        with open_file(path) as bundle:
            yield Filled(
                bundle.store, origin, names, lambda d: flip_in(path, base + layout.offsets[d.digest] + d.size // 2)
            )
    elif request.param == "saved":
        path = tmp_path / "x.tar"
        layout = pack_into(path, origin, names).layout  # an OCI layout in a tar, as docker writes from 25 on
        base = len(layout.leading)
        with path.open("rb") as file, SavedImages(file, tmp_path, "a runtime") as saved:
            spool = Path(f"/proc/self/fd/{saved.fileno()}")
            yield Filled(saved, origin, names, lambda d: flip_in(spool, base + layout.offsets[d.digest] + d.size // 2))
    elif request.param == "containerd":
        ctr = request.getfixturevalue("ctr")
        pack_into(tmp_path / "x.tar", origin, names)
        ctr("images", "import", "--all-platforms", "--no-unpack", tmp_path / "x.tar")
        runtime = choose(Choice("containerd", ctr.address))
        assert isinstance(runtime, Containerd)
        content = Path(ctr.address).parent / "root" / "io.containerd.content.v1.content"
        yield Filled(ContentStore(runtime), origin, names, lambda d: flip_in(content / d.blob_path))
    else:
        store = store_for(registry)
        transfer(origin, names, store)
        yield Filled(store_for(registry), origin, names, lambda d: flip_in(registry.blob_file(d.digest)))


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def flip_in(path: Path, at: int | None = None) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 if at is None else at)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def largest_blob(filled: Filled) -> Descriptor:
    graph = walk(filled.origin, filled.names)
    return max((blob for image in graph.images for blob in graph.blobs_of(image)), key=lambda blob: blob.size)


def digest_of(chunks: Iterator[Chunk]) -> str:
    fresh = hashlib.sha256()
    for chunk in chunks:
        assert len(chunk) <= limits.CHUNK
        fresh.update(chunk)
    return f"sha256:{fresh.hexdigest()}"


def test_a_name_resolves_to_the_digest_it_was_stored_under(filled: Filled) -> None:
    for name in filled.names:
        assert filled.source.resolve(name) == replace(filled.origin.resolve(name), annotations=(), platform=None)


def test_a_name_resolves_by_digest_too(filled: Filled) -> None:
    name = filled.names[0]
    digest = filled.origin.resolve(name).digest
    assert filled.source.resolve(Reference(name.registry, name.repository, digest=digest)).digest == digest


def test_an_unknown_name_is_not_found(filled: Filled) -> None:
    with pytest.raises(NotFound):
        filled.source.resolve(replace(filled.names[0], tag="never-pushed"))


def test_manifests_are_the_bytes_that_were_stored(filled: Filled) -> None:
    graph = walk(filled.source, filled.names)
    assert graph.nodes
    for digest, node in graph.nodes.items():
        assert node.data == filled.origin.blobs[digest]


def test_every_blob_of_every_image_is_what_its_digest_says(filled: Filled) -> None:
    graph = walk(filled.source, filled.names)
    blobs = [(image, blob) for image in graph.images for blob in graph.blobs_of(image)]
    assert len(blobs) >= 9
    for image, blob in blobs:
        assert digest_of(filled.source.blob(image.reference.name, blob)) == blob.digest


@pytest.mark.parametrize("offset", [1, limits.CHUNK, 2 * limits.CHUNK + 5])
def test_a_blob_can_be_read_from_an_offset(filled: Filled, offset: int) -> None:
    blob = largest_blob(filled)
    got = b"".join(bytes(chunk) for chunk in filled.source.blob(filled.names[0].name, blob, offset))
    assert got == filled.origin.blobs[blob.digest][offset:]


def test_from_its_end_on_a_blob_has_nothing_more(filled: Filled) -> None:
    blob = largest_blob(filled)
    assert list(filled.source.blob(filled.names[0].name, blob, blob.size)) == []


def test_a_blob_that_is_not_there_is_not_found(filled: Filled) -> None:
    with pytest.raises(NotFound):
        list(filled.source.blob(filled.names[0].name, Descriptor.of(b"never stored", OCI_LAYER)))


def test_a_flipped_bit_is_noticed_by_whoever_reads_to_the_end(filled: Filled) -> None:
    blob = largest_blob(filled)
    filled.damage(blob)
    with pytest.raises(ContentMismatch) as caught:
        for _ in filled.source.blob(filled.names[0].name, blob):
            pass
    assert blob.digest in caught.value.message
    assert caught.value.hint


def test_a_size_that_is_not_the_contents_is_noticed(filled: Filled) -> None:
    blob = largest_blob(filled)
    for wrong in (blob.size - 1, blob.size + 1):
        with pytest.raises(AirgapError):
            for _ in filled.source.blob(filled.names[0].name, replace(blob, size=wrong)):
                pass


@pytest.fixture(params=["memory", "directory", "bucket", "registry"])
def target(request: pytest.FixtureRequest, tmp_path: Path, registry: Registry, s3_login: S3Server) -> Iterator[Target]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "directory":
        yield LayoutStore(DirectoryFiles.create(tmp_path / "layout"))
    elif request.param == "bucket":
        with closing(LayoutStore(bucket_files(s3_login))) as store:
            yield store
    else:
        yield store_for(registry)


def test_content_that_fails_at_its_end_leaves_nothing(target: Target, registry: Registry) -> None:
    repository = registry.repository()
    wanted = Descriptor.of(b"x" * 5000, OCI_LAYER)

    def lying(_offset: int) -> Iterator[Chunk]:
        yield b"y" * 5000
        raise ContentMismatch("a test", wanted.digest, "something else")

    with pytest.raises(ContentMismatch):
        target.put_blob(repository, wanted, lying)
    assert not target.has(repository, wanted)


def test_what_was_put_is_there_and_may_be_put_again(target: Target, registry: Registry) -> None:
    repository = registry.repository()
    data = b"z" * 70_000
    blob = Descriptor.of(data, OCI_LAYER)
    assert not target.has(repository, blob)
    for _ in range(2):
        target.put_blob(repository, blob, lambda offset: iter([data[offset:]]))
    assert target.has(repository, blob)


def test_an_empty_blob_can_be_put(target: Target, registry: Registry) -> None:
    blob = Descriptor.of(b"", OCI_LAYER)
    repository = registry.repository()
    target.put_blob(repository, blob, lambda _: iter(()))
    assert target.has(repository, blob)


def test_many_may_put_the_same_blob_at_a_time(target: Target, registry: Registry) -> None:
    repository = registry.repository()
    data = b"w" * 300_000
    blob = Descriptor.of(data, OCI_LAYER)
    failures: list[BaseException] = []

    def put() -> None:
        try:
            target.put_blob(repository, blob, lambda offset: iter([data[offset:]]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert target.has(repository, blob)


def test_names_are_found_once_they_are_given(target: Target, registry: Registry) -> None:
    origin, names = made(registry.repository())
    assert target.find(names[0]) is None
    transfer(origin, names, target)
    for name in names:
        found = target.find(name)
        assert found is not None
        assert found.digest == origin.resolve(name).digest
