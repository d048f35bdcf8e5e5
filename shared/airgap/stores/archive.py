"""A tar of which every offset is known before its first blob is fetched: written and read in place, by many at once.

What the leading members mean is the business of `bundles`; here they are names and bytes.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from airgap import durable, limits
from airgap.descriptors import Descriptor, hasher, verify
from airgap.errors import DamagedBundle, InvalidInput, NotFound
from airgap.references import Reference
from airgap.stores import Chunk, Content, tar
from airgap.stores.layout import Named
from airgap.stores.reading import verified


@dataclass(frozen=True)
class ArchiveLayout:
    """Where everything of an archive lies: leading members in order, then blobs in order, then the end mark.

    Attributes:
        members: (name, bytes) of what stands before the blobs.
        blobs: in file order, each digest once.
        offsets: digest → offset of the content from the first byte of the first blob's header.
        size: of the whole file, in bytes.
    """

    members: tuple[tuple[str, bytes], ...]
    blobs: tuple[Descriptor, ...]
    offsets: Mapping[str, int]
    size: int

    @classmethod
    def of(cls, members: Iterable[tuple[str, bytes]], blobs: Iterable[Descriptor]) -> ArchiveLayout:
        """Lay members and blobs out one after another."""
        members, blobs = tuple(members), tuple(blobs)
        offsets, end = blob_offsets(blobs)
        return cls(members, blobs, offsets, len(_leading(members)) + end + len(tar.END))

    @property
    def leading(self) -> bytes:
        """Everything before the first blob's header."""
        return _leading(self.members)


def blob_offsets(blobs: Iterable[Descriptor]) -> tuple[dict[str, int], int]:
    """Each blob's content offset from the first blob's header, and the length of them all."""
    offsets: dict[str, int] = {}
    position = 0
    for blob in blobs:
        head = len(tar.header(blob.blob_path, blob.size))
        offsets[blob.digest] = position + head
        position += head + tar.padded(blob.size)
    return offsets, position


def _leading(members: Iterable[tuple[str, bytes]]) -> bytes:
    parts = (tar.header(name, len(data)) + data + tar.padding(len(data)) for name, data in members)
    return b"".join(parts)


class ArchiveWriter:
    """Fills an archive, blobs in any order, several at a time.

    Until `finish` the file is called `NAME.partial`. An interrupted one is taken up again: a region whose bytes hash
    to what belongs there is kept. The bytes are the journal.
    """

    def __init__(self, path: Path, layout: ArchiveLayout) -> None:
        self.path = path
        self.layout = layout
        self.partial = path.with_name(path.name + ".partial")
        self._base = len(layout.leading)
        self._lock = threading.Lock()
        with durable.explained(self.partial):
            self._file = durable.open_locked(self.partial)
        try:
            self._resumed = self._reserve()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def find(self, reference: Reference) -> Descriptor | None:
        """Nothing has a name before the archive is whole."""
        return None

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether an earlier run has left this very content in its place."""
        if not self._resumed:
            return False
        fresh = hasher(descriptor.digest)
        for chunk in _chunks(self._file, self._at(descriptor), descriptor.size):
            fresh.update(chunk)
        return fresh.hexdigest() == descriptor.hex

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Write a blob to its place; should the content fail, the place is written again or the file never finished."""
        position = self._at(descriptor)
        end = position + descriptor.size
        with durable.explained(self.partial):
            for chunk in content(0):
                if position + len(chunk) > end:
                    raise DamagedBundle(f"`{descriptor.digest}` would not end where it must")
                durable.write_all_at(self._file, chunk, position)
                position += len(chunk)
            durable.start_writing(self._file, self._at(descriptor), descriptor.size)

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Write a manifest to its place."""
        verify(data, descriptor, name)
        with durable.explained(self.partial):
            durable.write_all_at(self._file, data, self._at(descriptor))

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Names stand in the leading members already."""
        self.put_manifest(reference.name, descriptor, data)

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Nothing to do: content is here once, whatever repository it is from."""
        return True

    def finish(self) -> None:
        """Flush, and give the file its name: from now on it is whole.

        Raises:
            NoSpace: the disk could not take it after all. StoreError: it cannot be written.
        """
        with durable.explained(self.partial):
            os.fsync(self._file)
        durable.publish(self.partial, self.path)

    def _at(self, descriptor: Descriptor) -> int:
        try:
            return self._base + self.layout.offsets[descriptor.digest]
        except KeyError:
            raise NotFound(f"`{descriptor.digest}` has no place in `{self.path}`") from None

    def _reserve(self) -> bool:
        """Take the space, write what is known; True where an earlier run has left something."""
        before = os.fstat(self._file)
        missing = self.layout.size - min(before.st_blocks * 512, self.layout.size)
        durable.require_space(self.path.absolute().parent, missing, f"`{self.path}`")
        with durable.explained(self.partial):
            os.ftruncate(self._file, self.layout.size)
            os.posix_fallocate(self._file, 0, self.layout.size)
            durable.write_all_at(self._file, self.layout.leading, 0)
            for blob in self.layout.blobs:
                head = tar.header(blob.blob_path, blob.size)
                durable.write_all_at(self._file, head, self._at(blob) - len(head))
                pad = tar.padding(blob.size)
                durable.write_all_at(self._file, pad, self._at(blob) + blob.size)
            durable.write_all_at(self._file, tar.END, self.layout.size - len(tar.END))
        return before.st_size > 0


class ArchiveReader:
    """Reads an archive in place: leading members once, blobs by offset."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with durable.explained(path):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            stat_of = os.fstat(self._file)
        if not stat.S_ISREG(stat_of.st_mode):
            os.close(self._file)
            raise InvalidInput(
                f"`{path}` is no plain file", hint="name a bundle that was made with: kubectl airgap pack"
            )
        self.size = stat_of.st_size
        self._offsets: dict[str, int] = {}
        self._names: dict[str, Descriptor] = {}
        self._listed: tuple[Named, ...] = ()

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def member(self, offset: int) -> tar.Member | None:
        """The member whose header is at `offset`."""
        return tar.read_member(self.read_at, offset, str(self.path))

    def read_at(self, count: int, offset: int) -> bytes:
        """Bytes at an offset; fewer at the end of the file."""
        with durable.explained(self.path):
            return os.pread(self._file, count, offset)

    def know(self, names: Iterable[Named], offsets: Mapping[str, int]) -> None:
        """Learn what lies where: names, and content offsets from the start of the file."""
        self._offsets = dict(offsets)
        self._listed = tuple(names)
        for reference, descriptor in self._listed:
            self._names[str(reference)] = self._names[f"{reference.name}@{descriptor.digest}"] = descriptor

    def names(self) -> tuple[Named, ...]:
        """Every name in the archive."""
        return self._listed

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        found = self._names.get(str(reference)) or self._names.get(str(reference.without_tag()))
        if found is None:
            raise NotFound(
                f"`{reference}` is not in `{self.path}`", hint=f"see what is: kubectl airgap inspect {self.path}"
            )
        return found

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        at = self._content(descriptor)
        return verify(self.read_at(descriptor.size, at), descriptor, f"{self.path}, byte {at}")

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked."""
        at = self._content(descriptor)
        chunks = _chunks(self._file, at + offset, descriptor.size - offset)
        return verified(chunks, descriptor, f"{self.path}, byte {at}", offset)

    def _content(self, descriptor: Descriptor) -> int:
        """The content's offset, once the header before it has been found to be the right one."""
        at = self._offsets.get(descriptor.digest)
        if at is None:
            raise NotFound(f"`{descriptor.digest}` is not in `{self.path}`")
        head = tar.header(descriptor.blob_path, descriptor.size)
        if self.read_at(len(head), at - len(head)) != head:
            raise DamagedBundle(
                f"`{self.path}`: the header of `{descriptor.digest}` at byte {at - len(head)} is damaged",
                hint="carry the bundle over again",
            )
        return at


def _chunks(file: int, offset: int, size: int) -> Iterator[Chunk]:
    """`size` bytes from `offset`, in one buffer that is used again and again; fewer where the file ends."""
    buffer = memoryview(bytearray(min(limits.CHUNK, size)))
    end = offset + size
    while offset < end:
        count = os.preadv(file, [buffer[: min(len(buffer), end - offset)]], offset)
        if not count:
            return
        yield buffer[:count]
        offset += count
