"""An archive in parts: pieces `NAME.001`, `NAME.002`, … that `cat` joins, and a list of them, `NAME.parts.json`.

The list is written last: where it is, the parts are whole. A set that is still being written is known by the list's
name with `.partial`, which is its lock too; what else has a part's name is not touched.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from airgap import durable, limits, strictjson
from airgap.errors import Cancelled, DamagedBundle, InvalidInput, InvalidManifest
from airgap.stores import partlist
from airgap.stores.partlist import Listing, Part

_MARK_BYTES: Final = 512  # one write that is there or is not
_WORKERS: Final = 4
T = TypeVar("T")


class _Files:
    """The files of all parts as one; each is open only while it is used, so that there may be many."""

    def __init__(self, paths: Sequence[Path], sizes: Sequence[int], flags: int) -> None:
        self.paths = tuple(paths)
        self.sizes = tuple(sizes)
        self._starts = (0, *itertools.accumulate(sizes))
        self._flags = flags | os.O_CLOEXEC | os.O_NONBLOCK

    @contextlib.contextmanager
    def opened(self, index: int) -> Iterator[int]:
        """One of them, with its errors explained."""
        with durable.explained(self.paths[index]):
            descriptor = os.open(self.paths[index], self._flags, 0o644)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def spans(self, offset: int, count: int) -> Iterator[tuple[int, int, slice]]:
        """(which, where in it, what of the `count` bytes) of every piece that a region has."""
        end = min(offset + count, self._starts[-1])
        position = offset
        while position < end:
            index = bisect.bisect_right(self._starts, position) - 1
            until = min(end, self._starts[index + 1])
            yield index, position - self._starts[index], slice(position - offset, until - offset)
            position = until

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer; fewer bytes where the last part, or one that was cut meanwhile, ends."""
        filled = 0
        for index, at, piece in self.spans(offset, len(buffer)):
            with self.opened(index) as descriptor:
                filled += durable.read_into_at(descriptor, buffer[piece], at)
            if filled < piece.stop:
                break
        return filled

    def digests(self) -> list[str]:
        """Of each part's bytes, several at a time."""
        return self._each(self._digest)

    def head(self, index: int, most: int = limits.PART_HEAD) -> str:
        """The digest of the beginning of a part's file."""
        buffer = memoryview(bytearray(min(limits.PART_HEAD, most)))
        with self.opened(index) as descriptor:
            count = durable.read_into_at(descriptor, buffer, 0)
        return f"sha256:{hashlib.sha256(buffer[:count]).hexdigest()}"

    def flush(self) -> None:
        """Wait until the disk has all of it."""
        self._each(self._flush)

    def _flush(self, index: int, _stopped: threading.Event) -> None:
        with self.opened(index) as descriptor:
            os.fsync(descriptor)

    def _digest(self, index: int, stopped: threading.Event) -> str:
        fresh = hashlib.sha256()
        buffer = memoryview(bytearray(limits.CHUNK))
        offset = 0
        with self.opened(index) as descriptor:
            while count := durable.read_into_at(descriptor, buffer, offset):
                if stopped.is_set():
                    raise Cancelled("stopped")
                fresh.update(buffer[:count])
                offset += count
        return f"sha256:{fresh.hexdigest()}"

    def _each(self, action: Callable[[int, threading.Event], T]) -> list[T]:
        stopped = threading.Event()
        with ThreadPoolExecutor(min(_WORKERS, len(self.paths))) as crew:
            try:
                return list(crew.map(lambda index: action(index, stopped), range(len(self.paths))))
            except BaseException:
                stopped.set()
                crew.shutdown(wait=False, cancel_futures=True)
                raise


class PartsMedium:
    """All parts of an archive, read as if they were joined.

    Raises:
        DamagedBundle: the list is missing or none, or parts are; each is named, with what it is instead.
    """

    def __init__(self, archive: Path) -> None:
        self.place = str(archive)
        self.listing = partlist.read_list(archive)
        self.size = self.listing.size
        numbers = range(1, len(self.listing.parts) + 1)
        paths = [partlist.numbered(archive, number) for number in numbers]
        self._files = _Files(paths, [part.size for part in self.listing.parts], os.O_RDONLY)
        wrong = {path.name: why for index, path in enumerate(paths) if (why := self._wrong(index))}
        if wrong:
            raise DamagedBundle(
                f"`{archive}` is in parts, and they are not what `{partlist.list_of(archive).name}` says:\n"
                + "\n".join(f"  `{name}` {why}" for name, why in wrong.items()),
                hint=f"carry over again: {', '.join(wrong)}",
            )

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer."""
        return self._files.read_into(buffer, offset)

    def close(self) -> None:
        """Nothing is open."""

    def damaged(self) -> tuple[str, ...]:
        """The names of parts that are not what the list says, found by hashing all of them."""
        found = zip(self._files.paths, self._files.digests(), self.listing.parts, strict=True)
        return tuple(path.name for path, digest, part in found if digest != part.digest)

    def _wrong(self, index: int) -> str:
        """What is wrong with a part, as far as its size and its beginning tell."""
        path, part = self._files.paths[index], self.listing.parts[index]
        if not path.exists():
            return "is missing"
        with self._files.opened(index) as descriptor:
            status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "is no plain file"
        if self._files.head(index, part.size) != part.head:
            head = self._files.head(index)
            owner = next((n for n, p in enumerate(self.listing.parts) if p.head == head), None)
            return f"has the bytes of part {owner + 1}" if owner is not None else "is damaged, or of another bundle"
        if status.st_size < part.size:
            return f"is cut off: {status.st_size} of {part.size} bytes"
        return f"has {status.st_size - part.size} bytes too many" if status.st_size > part.size else ""


class PartsCanvas:
    """Parts of `part` bytes and a shorter last one, written at many places at once; the space is taken at once.

    A set of the same name is taken up again where it is of the same archive, and refused where it is of another one:
    it may be the only copy.

    Args:
        archive: what the parts make; no such file may be there.
        size: of all, in bytes.
        part: bytes of one.
        inventory: the digest that tells this archive from others.

    Raises:
        InvalidInput: there are other parts by these names, or there would be too many.
        NoSpace: before the first byte, with both numbers.
        StoreError: another process writes them.
    """

    def __init__(self, archive: Path, size: int, part: int, inventory: str) -> None:
        self.place = str(archive)
        self._archive = archive
        self._inventory = inventory
        _check_count(size, part)
        sizes = [min(part, size - start) for start in range(0, size, part)]
        paths = [partlist.numbered(archive, number) for number in range(1, len(sizes) + 1)]
        self._files = _Files(paths, sizes, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        self._mark = partlist.mark_of(archive)
        with durable.explained(self._mark):
            self._lock = durable.open_locked(self._mark)
        try:
            self._earlier = self._claim()
            self.resumed = any(path.exists() and path.stat().st_size for path in paths)
            self._reserve()
        except BaseException:
            self.close()
            raise

    def write_at(self, data: bytes | memoryview, offset: int) -> None:
        """Write to the parts."""
        view = memoryview(data)
        for index, at, piece in self._files.spans(offset, len(view)):
            with self._files.opened(index) as descriptor:
                durable.write_all_at(descriptor, view[piece], at)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read from the parts."""
        return self._files.read_into(buffer, offset)

    def settle(self, offset: int, size: int) -> None:
        """Start writing a region back."""
        for index, at, piece in self._files.spans(offset, size):
            with self._files.opened(index) as descriptor:
                durable.start_writing(descriptor, at, piece.stop - piece.start)

    def finish(self) -> None:
        """Flush, hash every part, then write the list; what a larger set left that was never finished goes.

        Raises:
            NoSpace: the disk could not take it after all. StoreError: it cannot be written.
        """
        path, folder = partlist.list_of(self._archive), self._archive.absolute().parent
        self._files.flush()
        with durable.explained(folder):
            durable.sync_directory(folder)
        durable.write_file(path, partlist.dumps(self._listing()), temporary=path.with_name(path.name + ".new"))
        with durable.explained(self._mark):
            for number in range(len(self._files.paths) + 1, self._earlier + 1):
                partlist.numbered(self._archive, number).unlink(missing_ok=True)
            self._mark.unlink()
            durable.sync_directory(folder)

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._lock)

    def _listing(self) -> Listing:
        files = self._files
        made = enumerate(zip(files.paths, files.sizes, files.digests(), strict=True))
        parts = (Part(path.name, size, digest, files.head(index)) for index, (path, size, digest) in made)
        return Listing(self._archive.name, self._inventory, tuple(parts))

    def _claim(self) -> int:
        """Make sure that the parts are ours to write, and say so in the mark; the most parts that a set of ours had."""
        earlier = _count_in(os.pread(self._lock, _MARK_BYTES, 0))
        foreign = self._foreign(is_marked=bool(earlier))
        if foreign:
            if not earlier:
                self._mark.unlink()
            raise InvalidInput(
                f"`{foreign}` is there already, and not of this bundle in parts of this size",
                hint="write to another name; or remove the old parts and their list, if nobody needs them",
            )
        most = max(earlier, len(self._files.paths))
        if most > earlier:
            with durable.explained(self._mark):
                durable.write_all_at(self._lock, strictjson.dumps({"parts": most}).ljust(_MARK_BYTES), 0)
                os.fsync(self._lock)
                durable.sync_directory(self._archive.absolute().parent)
        return most

    def _foreign(self, *, is_marked: bool) -> Path | None:
        """What stands in the way: a set that is whole and of another archive, or files that are of no set we know."""
        if partlist.list_of(self._archive).exists():
            return None if self._is_same_set() else partlist.list_of(self._archive)
        if self._archive.exists():
            return self._archive  # whoever is given the name would read this in place of the parts
        return None if is_marked else next(partlist.siblings(self._archive), None)

    def _is_same_set(self) -> bool:
        """Whether the set that is there is of this archive, in parts of this size."""
        try:
            listing = partlist.read_list(self._archive)
        except DamagedBundle:
            return False
        sizes = tuple(part.size for part in listing.parts)
        return (listing.inventory, sizes) == (self._inventory, self._files.sizes)

    def _reserve(self) -> None:
        """Take the space."""
        there = [path.stat() if path.exists() else None for path in self._files.paths]
        sizes = self._files.sizes
        missing = sum(size - min(s.st_blocks * 512 if s else 0, size) for size, s in zip(sizes, there, strict=True))
        durable.require_space(self._archive.absolute().parent, missing, f"`{self._archive}`")
        for index, size in enumerate(sizes):
            with self._files.opened(index) as descriptor:
                os.ftruncate(descriptor, size)
                durable.allocate(descriptor, size)


def _check_count(size: int, part: int) -> None:
    count = -(-size // part)
    if count > limits.PARTS:
        least = -(-size // limits.PARTS)
        raise InvalidInput(f"that would make {count} parts, more than {limits.PARTS}", hint=f"from {least} bytes on")


def _count_in(mark: bytes) -> int:
    """How many parts the set had that a mark speaks of; 0 where it says nothing."""
    with contextlib.suppress(InvalidManifest, KeyError, TypeError):
        count = strictjson.loads(mark, "a mark")["parts"]
        return count if isinstance(count, int) and 0 < count <= limits.PARTS else 0
    return 0
