"""A leading member of an archive, put in after the archive was made: what lies behind it is copied, not read anew."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from airgap import durable
from airgap.errors import DamagedBundle, InvalidInput
from airgap.stores import tar

SUFFIX: Final = ".signing"
_MEMBERS_MOST: Final = 8  # that are looked at: what is put in stands near the front


def put_member(path: Path, name: str, after: str, make: Callable[[bytes], bytes], most: int) -> None:
    """Put a member behind another one, or in the place of the one of that name.

    Where it fits into the blocks of the old one, they alone are written. Otherwise the archive is written anew beside
    itself, and takes its own place at the end: cut off before that, it is what it was.

    Args:
        path: the archive, a plain file.
        name: of the member.
        after: the member it stands behind.
        make: its content, from the content of `after`.
        most: bytes that `after` may have.

    Raises:
        InvalidInput: it is no plain file. DamagedBundle: no such archive.
        NoSpace: before the first byte, with both numbers. StoreError: it cannot be written, or somebody else writes it.
    """
    path = path.resolve()  # a link stays a link
    with durable.explained(path), _opened(path) as source:
        before, old = _find(source, path, name, after)
        content = make(_read(source, before, most, path))
        member = tar.header(name, len(content)) + content + tar.padding(len(content))
        if before.end + len(member) == old:
            durable.write_all_at(source, member, before.end)
            os.fsync(source)
        else:
            _write_anew(source, path, member, (before.end, old))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    source = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise InvalidInput(f"`{path}` is no plain file")
        durable.hold(source, path)
        yield source
    finally:
        os.close(source)


def _find(source: int, path: Path, name: str, after: str) -> tuple[tar.Member, int]:
    """The member to stand behind, and where the one of that name ends; if there is none, where the first one does."""

    def at(offset: int) -> tar.Member | None:
        return tar.read_member(lambda count, start: os.pread(source, count, start), offset, str(path))

    member = at(0)
    for _ in range(_MEMBERS_MOST):
        following = at(member.end) if member else None
        if member is not None and member.name == after:
            return member, following.end if following is not None and following.name == name else member.end
        member = following
    raise DamagedBundle(f"`{path}` is not a bundle: `{after}` is not where it must be")


def _read(source: int, member: tar.Member, most: int, path: Path) -> bytes:
    data = os.pread(source, member.size, member.offset) if member.size <= most else b""
    if len(data) < member.size:
        raise DamagedBundle(f"`{path}` is damaged: `{member.name}` cannot be read")
    return data


def _write_anew(source: int, path: Path, member: bytes, gap: tuple[int, int]) -> None:
    """Copy an archive with a member in the place of a gap, and let the copy take its place."""
    before = os.fstat(source)
    start, end = gap
    size = before.st_size - (end - start) + len(member)
    durable.require_space(path.parent, size, f"`{path}`, written anew with its signature,")
    temporary = path.with_name(path.name + SUFFIX)
    target = durable.open_locked(temporary)
    try:
        os.ftruncate(target, 0)
        os.fchmod(target, stat.S_IMODE(before.st_mode))
        with contextlib.suppress(PermissionError):
            os.fchown(target, before.st_uid, before.st_gid)
        durable.copy_range(source, target, (0, start), 0)
        durable.write_all_at(target, member, start)
        durable.copy_range(source, target, (end, before.st_size), start + len(member))
        os.fsync(target)
        durable.publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(target)
