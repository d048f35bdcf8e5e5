"""Bytes at offsets: what an archive is read from and written to, one file or the parts of one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from airgap import durable
from airgap.errors import InvalidInput


class Medium(Protocol):
    """What an archive is read from; safe from several threads.

    Attributes:
        place: how its user calls it.
        size: in bytes.
    """

    place: str
    size: int

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from an offset on; fewer bytes than it takes only at the end."""
        ...

    def close(self) -> None:
        """Let go of it."""


class Canvas(Protocol):
    """What an archive is written to; safe from several threads.

    Attributes:
        place: how its user calls it.
        resumed: whether an earlier run may have left something in it.
    """

    place: str
    resumed: bool

    def write_at(self, data: bytes | memoryview, offset: int) -> None:
        """Write everything at an offset."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """What an earlier run left there."""
        ...

    def settle(self, offset: int, size: int) -> None:
        """A region is complete: the disk may begin with it."""

    def finish(self) -> None:
        """Flush, and give it its name: from now on it is whole."""

    def close(self) -> None:
        """Let go of it; what was written stays for the next run."""


def read(medium: Medium, count: int, offset: int) -> bytes:
    """Bytes at an offset; fewer at the end."""
    buffer = bytearray(max(min(count, medium.size - offset), 0))
    return bytes(memoryview(buffer)[: medium.read_into(memoryview(buffer), offset)])


class FileMedium:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)
        with durable.explained(path):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._file)
            hint = "name a bundle that was made with: kubectl airgap pack"
            raise InvalidInput(f"`{path}` is no plain file", hint=hint)
        self.size = found.st_size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer."""
        with durable.explained(self.path):
            return durable.read_into_at(self._file, buffer, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class FileCanvas:
    """One file, called `NAME.partial` until it is finished; its space is taken at once.

    Raises:
        NoSpace: before the first byte, with both numbers.
        StoreError: another process writes it.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.place = str(path)
        self._size = size
        self._partial = path.with_name(path.name + ".partial")
        with durable.explained(self._partial):
            self._file = durable.open_locked(self._partial)
        try:
            self.resumed = self._reserve()
        except BaseException:
            os.close(self._file)
            raise

    def write_at(self, data: bytes | memoryview, offset: int) -> None:
        """Write to the file."""
        with durable.explained(self._partial):
            durable.write_all_at(self._file, data, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read from the file."""
        with durable.explained(self._partial):
            return durable.read_into_at(self._file, buffer, offset)

    def settle(self, offset: int, size: int) -> None:
        """Start writing a region back."""
        durable.start_writing(self._file, offset, size)

    def finish(self) -> None:
        """Flush and rename.

        Raises:
            NoSpace: the disk could not take it after all. StoreError: it cannot be written.
        """
        with durable.explained(self._partial):
            os.fsync(self._file)
        durable.publish(self._partial, self.path)

    def close(self) -> None:
        """Close the file, and give up the lock."""
        os.close(self._file)

    def _reserve(self) -> bool:
        """Take the space; True where an earlier run has left something."""
        before = os.fstat(self._file)
        missing = self._size - min(before.st_blocks * 512, self._size)
        durable.require_space(self.path.absolute().parent, missing, f"`{self.path}`")
        with durable.explained(self._partial):
            os.ftruncate(self._file, self._size)
            durable.allocate(self._file, self._size)
        return before.st_size > 0
