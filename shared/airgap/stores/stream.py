"""An archive that passes by once: read in order from a pipe, and written in order to one.

Nothing of it can be read again, so what will be needed out of order, the manifests, is kept when it passes. They stand
in front; `limits.STREAM_FRONT` bounds what may stand before the last of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from airgap import durable, limits
from airgap.descriptors import Descriptor, verify
from airgap.errors import ContentError, DamagedBundle, NotFound, StoreError
from airgap.references import Reference
from airgap.stores import Chunk, tar
from airgap.stores.archive import CARRY, MADE_WITH, ArchiveLayout, looked_up, placed, table_of
from airgap.stores.layout import Named
from airgap.stores.reading import pieces, verified

STANDARD_INPUT: Final = "standard input"


class Readable(Protocol):
    """An unbuffered binary file."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Some bytes; 0 at the end."""
        ...


class CutOff(DamagedBundle):
    """A stream ended before what it carries did: nothing more is to be had from it."""


class StreamReader:
    """Reads an archive in the order of its bytes.

    Blobs may be asked for in file order only; what stands before one that is asked for is read past, and checked all
    the same. Manifests may be asked for in any order, before the first blob is.

    Attributes:
        place: how its user calls it.
        size: of the whole archive, once its inventory is known.
        blobs: all of them, in file order.
    """

    def __init__(self, source: Readable, place: str = STANDARD_INPUT) -> None:
        self.place = place
        self.size = 0
        self.blobs: tuple[Descriptor, ...] = ()
        self._tap = _Tap(source, place)
        self._ends: dict[str, int] = {}  # digest → where content and padding end
        self._names: dict[str, Descriptor] = {}
        self._kept: dict[str, bytes] = {}
        self._damaged: dict[str, ContentError] = {}  # what has passed, and was not what it should be
        self._passed = 0  # how many blobs have, or are about to
        self._front = 0  # bytes of what was kept
        self._passing: Iterator[Chunk] = iter(())
        self._lock = threading.Lock()

    def close(self) -> None:
        """The stream is its owner's."""

    def documents(self, expected: Sequence[str], most: int) -> dict[str, bytes]:
        """The members before the first blob, in the one order they may have.

        Raises:
            DamagedBundle: not a tar, cut, a member of more than `most` bytes, or its frame is damaged.
        """
        if not self._tap.peek(1, 0):
            raise DamagedBundle(f"`{self.place}` is empty", hint="pipe a bundle in")
        documents: dict[str, bytes] = {}
        for name in expected:
            member = self._member()
            if member is not None and member.name == name:
                documents[name] = self._document(member, most)
        return documents

    def know(self, names: Iterable[Named], blobs: Sequence[tuple[Descriptor, int]]) -> None:
        """Learn what will pass: names, and each blob with its offset from the first blob's header, in file order.

        Raises:
            DamagedBundle: blobs cannot lie there.
        """
        base = self._tap.position
        offsets, length = placed(blobs, self.place)
        self.size = base + length + len(tar.END)
        self.blobs = tuple(blob for blob, _ in blobs)
        self._ends = {blob.digest: base + offsets[blob.digest] + tar.padded(blob.size) for blob in self.blobs}
        self._names = table_of(names)

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        return looked_up(self._names, reference, self.place)

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked; what stands before it is kept.

        Raises:
            DamagedBundle: it stands too far behind to keep all that.
        """
        with self._lock:
            while descriptor.digest in self._ends and not self._has_passed(descriptor):
                self._keep_next(descriptor)
        data = self._kept.get(descriptor.digest)
        if data is None:
            raise self._damaged.get(descriptor.digest) or self._gone(descriptor)
        return verify(data, descriptor, self.place)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked, with what surrounds it; once.

        Raises:
            ContentError: it, or what stands before it and was not asked for, is damaged. CutOff: the stream ended.
        """
        if descriptor.digest in self._damaged:
            raise self._damaged[descriptor.digest]
        if descriptor.digest in self._kept:
            return verified(pieces(self._kept.pop(descriptor.digest), offset), descriptor, self.place, offset)
        if offset or descriptor.digest not in self._ends or self._has_passed(descriptor):
            raise self._gone(descriptor)
        return self._reach(descriptor)

    def check_frame(self) -> None:
        """The documents' was compared as they passed."""

    def finish(self) -> None:
        """Read to the end, and prove that the end mark is there and that nothing follows it.

        Raises:
            ContentError: what had still to pass is damaged. CutOff: the stream ended early.
        """
        for _ in self._passing:
            pass
        while self._passed < len(self.blobs):
            for _ in self._next():
                pass
        for error in self._damaged.values():
            raise error
        self._expect(tar.END, "its end mark")
        if self._tap.peek(1, self._tap.position):
            raise DamagedBundle(f"`{self.place}` has bytes after its end", hint=CARRY)

    def _member(self) -> tar.Member | None:
        """The member whose header comes next; it is not taken yet."""
        try:
            return tar.read_member(self._tap.peek, self._tap.position, self.place)
        except DamagedBundle as error:
            if not self._tap.position:
                raise DamagedBundle(f"`{self.place}` is not a bundle", hint=MADE_WITH) from error
            raise

    def _document(self, member: tar.Member, most: int) -> bytes:
        if member.size > most:
            raise DamagedBundle(f"`{self.place}`: `{member.name}` has {member.size} bytes, more than {most}")
        self._expect(tar.header(member.name, member.size), f"the frame of `{member.name}`")
        data = self._tap.take(member.size)
        if len(data) < member.size:
            raise self._cut()
        self._expect(tar.padding(member.size), f"the frame of `{member.name}`")
        return data

    def _has_passed(self, descriptor: Descriptor) -> bool:
        behind = self.blobs[self._passed - 1].digest if self._passed else ""
        return bool(behind) and self._ends[descriptor.digest] <= self._ends[behind]

    def _keep_next(self, wanted: Descriptor) -> None:
        """Keep the next blob for whoever asks for it; one that is damaged is refused to them."""
        blob = self.blobs[self._passed]
        self._front += blob.size
        if self._front > limits.STREAM_FRONT:
            raise DamagedBundle(
                f"`{self.place}`: the manifest `{wanted.digest}` stands behind more than {limits.STREAM_FRONT} bytes",
                hint="write the stream to a file, and give the file's name",
            )
        try:
            self._kept[blob.digest] = b"".join(bytes(chunk) for chunk in self._next())
        except CutOff:
            raise
        except ContentError as error:
            self._damaged[blob.digest] = error

    def _reach(self, descriptor: Descriptor) -> Iterator[Chunk]:
        """Read on to a blob, then pass it on."""
        for _ in self._passing:
            pass
        while self.blobs[self._passed].digest != descriptor.digest:
            for _ in self._next():
                pass
        self._passing = self._next()
        for chunk in self._passing:  # noqa: UP028 - whoever stops reading must not stop what has still to pass
            yield chunk

    def _next(self) -> Iterator[Chunk]:
        """The next blob's bytes, with all around it compared; however it ends, the one after it can be read."""
        blob = self.blobs[self._passed]
        self._passed += 1
        end, what = self._ends[blob.digest], f"`{blob.digest}`"
        start = end - tar.padded(blob.size)
        try:
            self._expect(tar.header(blob.blob_path, blob.size), f"the header of {what}")
            yield from verified(self._chunks(blob.size), blob, f"{self.place}, byte {start}")
            self._expect(tar.padding(blob.size), f"what stands after {what}")
        except Exception:  # not when the stream itself is let go of: then nothing more is read of it
            self._tap.skip_to(end)
            raise

    def _chunks(self, size: int) -> Iterator[Chunk]:
        buffer = memoryview(bytearray(min(limits.CHUNK, size)))
        while size:
            count = self._tap.take_into(buffer[: min(len(buffer), size)])
            if not count:
                raise self._cut()
            size -= count
            yield buffer[:count]

    def _expect(self, wanted: bytes, what: str) -> None:
        found = self._tap.take(len(wanted))
        if len(found) < len(wanted):
            raise self._cut()
        if found != wanted:
            raise DamagedBundle(f"`{self.place}`: {what} at byte {self._tap.position - len(wanted)} is damaged")

    def _cut(self) -> CutOff:
        of = f" of {self.size}" if self.size else ""
        return CutOff(f"`{self.place}` is cut off: it ended at byte {self._tap.position}{of}", hint="send it again")

    def _gone(self, descriptor: Descriptor) -> StoreError:
        if descriptor.digest not in self._ends:
            return NotFound(f"`{descriptor.digest}` is not in `{self.place}`")
        return StoreError(f"`{descriptor.digest}` has passed in `{self.place}`", hint="type the same command again")


def pour(
    layout: ArchiveLayout, content: Callable[[Descriptor], Iterator[Chunk]], write: Callable[[Chunk], None]
) -> None:
    """Write an archive in the order of its bytes, asking for each blob's content when it is its turn."""
    write(layout.leading)
    for blob in layout.blobs:
        write(tar.header(blob.blob_path, blob.size))
        for chunk in content(blob):
            write(chunk)
        write(tar.padding(blob.size))
    write(tar.END)


class _Tap:
    """Bytes in order, with a look ahead."""

    def __init__(self, source: Readable, place: str) -> None:
        self.position = 0
        self._source = source
        self._place = place
        self._ahead = b""

    def peek(self, count: int, offset: int) -> bytes:
        """Bytes at an offset that has not passed; fewer at the end."""
        start = offset - self.position
        missing = start + count - len(self._ahead)
        if missing > 0:
            buffer = memoryview(bytearray(missing))
            self._ahead += buffer[: self._fill(buffer)]
        return self._ahead[start : start + count]

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        buffer = bytearray(count)
        return bytes(memoryview(buffer)[: self.take_into(memoryview(buffer))])

    def take_into(self, buffer: memoryview) -> int:
        """Fill the buffer with the next bytes; fewer at the end."""
        known = min(len(self._ahead), len(buffer))
        buffer[:known] = self._ahead[:known]
        self._ahead = self._ahead[known:]
        count = known + self._fill(buffer[known:])
        self.position += count
        return count

    def skip_to(self, offset: int) -> None:
        """Read past what stands before an offset."""
        buffer = memoryview(bytearray(min(limits.CHUNK, max(offset - self.position, 0))))
        while self.position < offset and self.take_into(buffer[: offset - self.position]):
            pass

    def _fill(self, buffer: memoryview) -> int:
        filled = 0
        with durable.explained(Path(self._place)):
            while filled < len(buffer) and (count := self._source.readinto(buffer[filled:])):
                filled += count
        return filled
