"""A tar of which every offset is known before its first blob is fetched: written and read in place, by many at once.

What the leading members mean is the business of `bundles`; here they are names and bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from airgap import limits
from airgap.descriptors import Descriptor, hasher, verify
from airgap.errors import DamagedBundle, NotFound
from airgap.references import Reference
from airgap.stores import Chunk, Content, media, tar
from airgap.stores.layout import Named
from airgap.stores.media import Canvas, Medium
from airgap.stores.reading import verified

CARRY: Final = "carry the bundle over again"
MADE_WITH: Final = "a bundle is made with: kubectl airgap pack"


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
        head = tar.header_size(blob.blob_path, blob.size)
        offsets[blob.digest] = position + head
        position += head + tar.padded(blob.size)
    return offsets, position


def placed(blobs: Sequence[tuple[Descriptor, int]], place: str) -> tuple[dict[str, int], int]:
    """As `blob_offsets`, once blobs are found to lie where an inventory says.

    Raises:
        DamagedBundle: they cannot lie there, or one is listed twice.
    """
    offsets, length = blob_offsets(blob for blob, _ in blobs)
    if len(offsets) != len(blobs):
        raise DamagedBundle(f"the inventory of `{place}` lists a blob twice")
    wrong = next((blob for blob, offset in blobs if offsets[blob.digest] != offset), None)
    if wrong is not None:
        raise DamagedBundle(f"the inventory of `{place}` has `{wrong.digest}` at a place where it cannot be")
    return offsets, length


def table_of(names: Iterable[Named]) -> dict[str, Descriptor]:
    """What is found by its name, and by its digest."""
    return {
        key: descriptor
        for reference, descriptor in names
        for key in (str(reference), f"{reference.name}@{descriptor.digest}")
    }


def looked_up(table: Mapping[str, Descriptor], reference: Reference, place: str) -> Descriptor:
    """What a name stands for in a table.

    Raises:
        NotFound: nothing has it.
    """
    found = table.get(str(reference)) or table.get(str(reference.without_tag()))
    if found is None:
        raise NotFound(f"`{reference}` is not in `{place}`", hint=f"see what is: kubectl airgap inspect {place}")
    return found


def _leading(members: Iterable[tuple[str, bytes]]) -> bytes:
    return b"".join(tar.member(name, data) for name, data in members)


class ArchiveWriter:
    """Fills an archive, blobs in any order, several at a time.

    An interrupted one is taken up again: a region whose bytes hash to what belongs there is kept. The bytes are the
    journal.
    """

    def __init__(self, canvas: Canvas, layout: ArchiveLayout) -> None:
        self.layout = layout
        self._canvas = canvas
        self._base = len(layout.leading)
        try:
            self._write_frame()
        except BaseException:
            canvas.close()
            raise

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._canvas.close()

    def find(self, reference: Reference) -> Descriptor | None:
        """Nothing has a name before the archive is whole."""
        return None

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether an earlier run has left this very content in its place."""
        if not self._canvas.resumed:
            return False
        fresh = hasher(descriptor.digest)
        for chunk in _chunks(self._canvas, self._at(descriptor), descriptor.size):
            fresh.update(chunk)
        return fresh.hexdigest() == descriptor.hex

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Write a blob to its place; should the content fail, the place is written again or the file never finished."""
        start = position = self._at(descriptor)
        for chunk in content(0):
            if position + len(chunk) > start + descriptor.size:
                raise DamagedBundle(f"`{descriptor.digest}` would not end where it must")
            self._canvas.write_at(chunk, position)
            position += len(chunk)
        self._canvas.settle(start, descriptor.size)

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Write a manifest to its place."""
        verify(data, descriptor, name)
        self._canvas.write_at(data, self._at(descriptor))

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Names stand in the leading members already."""
        self.put_manifest(reference.name, descriptor, data)

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Nothing to do: content is here once, whatever repository it is from."""
        return True

    def finish(self) -> None:
        """Flush, and give the archive its name: from now on it is whole.

        Raises:
            NoSpace: the disk could not take it after all. StoreError: it cannot be written.
        """
        self._canvas.finish()

    def _at(self, descriptor: Descriptor) -> int:
        try:
            return self._base + self.layout.offsets[descriptor.digest]
        except KeyError:
            raise NotFound(f"`{descriptor.digest}` has no place in `{self._canvas.place}`") from None

    def _write_frame(self) -> None:
        """Everything but the content: leading members, headers, padding, the end mark."""
        self._canvas.write_at(self.layout.leading, 0)
        for blob in self.layout.blobs:
            head = tar.header(blob.blob_path, blob.size)
            self._canvas.write_at(head, self._at(blob) - len(head))
            self._canvas.write_at(tar.padding(blob.size), self._at(blob) + blob.size)
        self._canvas.write_at(tar.END, self.layout.size - len(tar.END))


class ArchiveReader:
    """Reads an archive in place: leading members once, blobs by offset."""

    def __init__(self, medium: Medium) -> None:
        self.place = medium.place
        self.medium = medium
        self._leading: tuple[tar.Member, ...] = ()
        self._offsets: dict[str, int] = {}
        self._names: dict[str, Descriptor] = {}

    @property
    def size(self) -> int:
        """Of the whole archive, in bytes."""
        return self.medium.size

    def close(self) -> None:
        """Let go of the medium."""
        self.medium.close()

    def documents(self, expected: Sequence[str], most: int) -> dict[str, bytes]:
        """The members before the first blob, in the one order they may have.

        Raises:
            DamagedBundle: not a tar, cut, or a member of more than `most` bytes.
        """
        if not self.medium.size:
            raise DamagedBundle(f"`{self.place}` is empty", hint=CARRY)
        self._leading = tuple(self._walk(expected))
        return {member.name: self._document(member, most) for member in self._leading}

    def know(self, names: Iterable[Named], blobs: Sequence[tuple[Descriptor, int]]) -> None:
        """Learn what lies where: names, and each blob with its offset from the first blob's header, in file order.

        Raises:
            DamagedBundle: blobs cannot lie there, or the archive is longer or shorter than they are.
        """
        base = self._leading[-1].end if self._leading else 0
        offsets, length = placed(blobs, self.place)
        self._check_size(base + length + len(tar.END))
        self._offsets = {digest: base + offset for digest, offset in offsets.items()}
        self._names = table_of(names)

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        return looked_up(self._names, reference, self.place)

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        at = self._content(descriptor)
        data = verify(self._read(descriptor.size, at), descriptor, f"{self.place}, byte {at}")
        self._check_after(descriptor, at)
        return data

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked, with the frame around it: a byte that is nobody's content is still part of the file."""
        at = self._content(descriptor)
        chunks = _chunks(self.medium, at + offset, descriptor.size - offset)
        yield from verified(chunks, descriptor, f"{self.place}, byte {at}", offset)
        self._check_after(descriptor, at)

    def check_frame(self) -> None:
        """Compare headers and padding of the leading members, and the end mark, byte by byte.

        Raises:
            DamagedBundle: one of them is not what it must be.
        """
        for member in self._leading:
            head, pad = tar.header(member.name, member.size), tar.padding(member.size)
            before = self._read(len(head), member.offset - len(head))
            if before != head or self._read(len(pad), member.offset + member.size) != pad:
                raise DamagedBundle(f"`{self.place}`: the frame of `{member.name}` is damaged")
        if self._read(len(tar.END), self.size - len(tar.END)) != tar.END:
            raise DamagedBundle(f"`{self.place}`: its end mark is damaged")

    def _check_after(self, descriptor: Descriptor, at: int) -> None:
        pad = tar.padding(descriptor.size)
        if self._read(len(pad), at + descriptor.size) != pad:
            raise DamagedBundle(f"`{self.place}`: what stands after `{descriptor.digest}` at byte {at} is damaged")

    def _read(self, count: int, offset: int) -> bytes:
        return media.read(self.medium, count, offset)

    def _walk(self, expected: Sequence[str]) -> Iterator[tar.Member]:
        offset = 0
        for name in expected:
            try:
                member = tar.read_member(self._read, offset, self.place)
            except DamagedBundle as error:
                if not offset:
                    raise DamagedBundle(f"`{self.place}` is not a bundle", hint=MADE_WITH) from error
                raise
            if member is not None and member.name == name:
                yield member
                offset = member.end

    def _document(self, member: tar.Member, most: int) -> bytes:
        if member.size > most:
            raise DamagedBundle(f"`{self.place}`: `{member.name}` has {member.size} bytes, more than {most}")
        data = self._read(member.size, member.offset)
        if len(data) < member.size:
            raise DamagedBundle(f"`{self.place}` is cut off in `{member.name}`", hint=CARRY)
        return data

    def _check_size(self, whole: int) -> None:
        if self.size < whole:
            cut = f"`{self.place}` is cut off: {self.size} of {whole} bytes"
            raise DamagedBundle(cut, hint="carry the rest of it over")
        if self.size > whole:
            raise DamagedBundle(f"`{self.place}` has {self.size - whole} bytes too many", hint=CARRY)

    def _content(self, descriptor: Descriptor) -> int:
        """The content's offset, once the header before it has been found to be the right one."""
        at = self._offsets.get(descriptor.digest)
        if at is None:
            raise NotFound(f"`{descriptor.digest}` is not in `{self.place}`")
        head = tar.header(descriptor.blob_path, descriptor.size)
        if self._read(len(head), at - len(head)) != head:
            raise DamagedBundle(
                f"`{self.place}`: the header of `{descriptor.digest}` at byte {at - len(head)} is damaged", hint=CARRY
            )
        return at


def _chunks(medium: Medium | Canvas, offset: int, size: int) -> Iterator[Chunk]:
    """`size` bytes from `offset`, in one buffer that is used again and again; fewer where the medium ends."""
    buffer = memoryview(bytearray(min(limits.CHUNK, size)))
    end = offset + size
    while offset < end:
        count = medium.read_into(buffer[: min(len(buffer), end - offset)], offset)
        if not count:
            return
        yield buffer[:count]
        offset += count
