"""Tar members at known offsets: canonical headers, and a reader that believes nothing.

Headers are ustar, with a pax record only for sizes from 8 GiB on; mode 0644, owner 0, time 0: the same members are
the same bytes whatever the clock, the machine or the user.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from airgap import limits
from airgap.errors import DamagedBundle

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_USTAR_LIMIT: Final = 8 * limits.GIB
_PAX_MOST: Final = 64 * limits.KIB
_PAX_SIZE: Final = re.compile(rb"\d+ size=(\d{1,16})\n")
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)

ReadAt = Callable[[int, int], bytes]
"""Reads (count, offset); fewer bytes than asked for only at the end of the file."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the tar: where its content starts, and where the next member does."""

    name: str
    size: int
    offset: int

    @property
    def end(self) -> int:
        """The offset after the content and its padding."""
        return self.offset + padded(self.size)


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of a tar that others wrote.

    Attributes:
        content: where its bytes lie; None for a directory or a link.
        link: the name that stands for it, from the archive's root; empty for everything else.
    """

    name: str
    content: Member | None
    link: str = ""


def header(name: str, size: int) -> bytes:
    """The canonical header of a regular file: one block, or three where size or name need a pax record."""
    if not _is_plain(name, size):
        return _made(name, size).tobuf(tarfile.PAX_FORMAT)
    block = bytearray(_BLANK)  # filled in by hand: the library takes ten times as long, and a bundle has many
    encoded = name.encode()
    block[: len(encoded)] = encoded
    block[_SIZE] = b"%011o" % size
    block[_CHECKSUM] = b"%06o" % (sum(block) + _UNSUMMED)
    return bytes(block)


def _made(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


_SIZE: Final = slice(124, 135)
_CHECKSUM: Final = slice(148, 154)
_UNSUMMED: Final = 7 * ord(" ")  # the checksum counts its own eight bytes as spaces; in the blank only the last is one


def _blank() -> bytes:
    block = bytearray(_made("", 0).tobuf(tarfile.USTAR_FORMAT))
    block[_CHECKSUM] = bytes(6)
    return bytes(block)


_BLANK: Final = _blank()


def header_size(name: str, size: int) -> int:
    """The length of a header, without making one."""
    return BLOCK if _is_plain(name, size) else len(header(name, size))


def _is_plain(name: str, size: int) -> bool:
    """Whether ustar has room for both; for the name of a sha512 blob it has not."""
    return size < _USTAR_LIMIT and len(name) <= tarfile.LENGTH_NAME


def member(name: str, data: bytes) -> bytes:
    """A whole regular file: header, content, padding."""
    return header(name, len(data)) + data + padding(len(data))


def padded(size: int) -> int:
    """A size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def padding(size: int) -> bytes:
    """The zeros after content of this size."""
    return bytes(padded(size) - size)


def read_member(read_at: ReadAt, offset: int, place: str) -> Member | None:
    """The member whose header is at `offset`, or None at the end mark.

    Raises:
        DamagedBundle: cut short, a wrong checksum, or anything but a regular file.
    """
    block = read_at(BLOCK, offset)
    if len(block) < BLOCK:
        raise DamagedBundle(f"`{place}` is cut off at byte {offset + len(block)}", hint="carry the rest of it over")
    if block == bytes(BLOCK):
        return None
    info = _decode(block, offset, place)
    if info.type == tarfile.XHDTYPE:
        if info.size > _PAX_MOST:
            raise DamagedBundle(f"`{place}`: the extended header at byte {offset} is too large")
        record = _PAX_SIZE.search(read_at(info.size, offset + BLOCK))
        following = offset + BLOCK + padded(info.size)
        info = _decode(read_at(BLOCK, following), following, place)
        if record is None:
            raise DamagedBundle(f"`{place}`: the extended header at byte {offset} has no size")
        return _member(info, int(record[1]), following, place)
    return _member(info, info.size, offset, place)


def _member(info: tarfile.TarInfo, size: int, offset: int, place: str) -> Member:
    if info.type not in _REGULAR or not 0 <= size <= limits.BLOB:
        raise DamagedBundle(f"`{place}`: {info.name!r} at byte {offset} is no regular file")
    return Member(info.name, size, offset + BLOCK)


def _decode(block: bytes, offset: int, place: str) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise DamagedBundle(f"`{place}`: no tar header at byte {offset}: {error}") from error


def scan(read_at: ReadAt, place: str) -> Iterator[Entry]:
    """All members of a tar that others wrote: files, directories, links to other members; no devices, no tricks.

    Raises:
        DamagedBundle: cut short, a wrong checksum, or a member of another kind.
    """
    offset = 0
    while True:
        block = read_at(BLOCK, offset)
        if len(block) < BLOCK:
            raise DamagedBundle(f"{place} is cut off at byte {offset + len(block)}")
        if block == bytes(BLOCK):
            return
        info = _decode(block, offset, place)
        records: dict[str, str] = {}
        if info.type == tarfile.XHDTYPE:
            if info.size > _PAX_MOST:
                raise DamagedBundle(f"{place}: the extended header at byte {offset} is too large")
            records = _records(read_at(info.size, offset + BLOCK), offset, place)
            offset += BLOCK + padded(info.size)
            info = _decode(read_at(BLOCK, offset), offset, place)
        entry, offset = _entry(info, records, offset, place)
        yield entry


def _entry(info: tarfile.TarInfo, records: dict[str, str], offset: int, place: str) -> tuple[Entry, int]:
    """A member, and the offset of the next one's header."""
    name, target = records.get("path", info.name), records.get("linkpath", info.linkname)
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        above = posixpath.dirname(name) if info.type == tarfile.SYMTYPE else ""
        return Entry(name, None, posixpath.normpath(posixpath.join(above, target))), offset + BLOCK
    if info.type == tarfile.DIRTYPE:
        return Entry(name, None), offset + BLOCK
    said = records.get("size", str(info.size))
    info.name = name
    member = _member(info, int(said) if said.isdecimal() and len(said) < 17 else -1, offset, place)
    return Entry(name, member), member.end


def _records(data: bytes, offset: int, place: str) -> dict[str, str]:
    """The records of an extended header, `LENGTH KEY=VALUE` and a newline each (POSIX pax, "Extended Header")."""
    records: dict[str, str] = {}
    while data:
        count, _, _ = data.partition(b" ")
        length = int(count) if count.isdigit() and len(count) < 6 else 0
        key, equals, value = data[len(count) + 1 : max(length - 1, 0)].decode("utf-8", "surrogateescape").partition("=")
        if not equals or data[length - 1 : length] != b"\n":
            raise DamagedBundle(f"{place}: the extended header at byte {offset} is damaged")
        records[key] = value
        data = data[length:]
    return records
