"""Files that are whole or not there: temporary file, fsync, rename, fsync of the directory.

The only module that writes what must outlive a crash.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from airgap.errors import AirgapError, InvalidInput, NoSpace, StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CANNOT_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})  # between file systems, say
_AT_ONCE = 64 << 20  # bytes, so that a signal does not wait long
_CHUNK = 1 << 20


def write_file(path: Path, data: bytes, *, mode: int = 0o644, temporary: Path | None = None) -> None:
    """Put `data` at `path`, replacing what is there in one step; `mode` is subject to the umask.

    Whoever holds a lock may name the `temporary` file: then a run that was killed leaves none that the next does not
    replace.

    Raises:
        NoSpace: the disk is full; what was at `path` before is untouched.
        StoreError: the directory cannot be written.
    """
    with explained(path):
        if temporary is None:
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        else:
            temporary.unlink(missing_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            try:
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
            sync_directory(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file, already flushed by its writer, its final name."""
    with explained(path):
        temporary.replace(path)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything; a short write is not the end."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_all_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write everything at `offset`; safe from several threads."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


def read_into_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill the buffer from `offset` on; fewer bytes only at the end of the file; safe from several threads."""
    filled = 0
    while filled < len(buffer):
        count = os.preadv(descriptor, [buffer[filled:]], offset + filled)
        if not count:
            break
        filled += count
    return filled


def copy_range(source: int, target: int, region: tuple[int, int], offset: int) -> None:
    """Copy the bytes of one file from region[0] up to region[1] to `offset` of another, inside the kernel if it can."""
    position, end = region
    while position < end:
        count = _copy_some(source, target, min(end - position, _AT_ONCE), position, offset)
        if not count:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        position += count
        offset += count


def _copy_some(source: int, target: int, count: int, position: int, offset: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, count, position, offset)
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
    data = os.pread(source, min(count, _CHUNK), position)
    write_all_at(target, data, offset)
    return len(data)


def start_writing(descriptor: int, offset: int, size: int) -> None:
    """Let the disk begin with what was written, so that the flush at the end has less left to wait for."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)


def free_space(directory: Path) -> int:
    """Bytes that this user may still write below `directory`."""
    with explained(directory):
        stat = os.statvfs(directory)
        return stat.f_bavail * stat.f_frsize


def require_space(directory: Path, wanted: int, what: str) -> None:
    """Refuse before the first byte what would end with a full disk.

    Raises:
        NoSpace: with both numbers.
    """
    free = free_space(directory)
    if wanted > free:
        raise NoSpace(
            f"{what} needs {wanted} bytes, but `{directory}` has {free} free",
            hint=f"free {wanted - free} bytes there, or write to another disk",
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` as a lock file; it is left in place, so that two waiters lock the same file.

    Raises:
        StoreError: another process holds it.
    """
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        hold(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def hold(descriptor: int, path: Path) -> None:
    """Lock an open file for this process until it is closed.

    Raises:
        StoreError: another process writes it right now.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreError(
            f"`{path}` is being written by another process", hint="wait for it, or write to another name"
        ) from error


def open_locked(path: Path) -> int:
    """Open a file for writing, making it where there is none, and hold it: the very file that has this name now.

    Whoever held it before may have given it its final name meanwhile; then what was opened is theirs, and whole.

    Raises:
        StoreError: another process writes it.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            hold(descriptor, path)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal into ours, with the path and what to do."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: Path | str) -> AirgapError:
    """What a refused read or write of `path` means for its user."""
    reason = error.strerror or str(error)
    if error.errno == errno.EFBIG:
        hint = "this file system takes no files as large: write parts of a bundle, with --split 4GB"
        return NoSpace(f"cannot write `{path}`: {reason.lower()}", hint=hint)
    if error.errno in _FULL:
        return NoSpace(f"cannot write `{path}`: {reason}", hint="free space there, or write to another disk")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return InvalidInput(f"`{path}`: {reason.lower()}", hint="check the path")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "allow more with `ulimit -n`, or take fewer at a time with -j"
        return StoreError(f"cannot use `{path}`: {reason.lower()}", hint=hint)
    if error.errno in (errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(f"`{path}`: {reason.lower()}")
    return StoreError(f"cannot use `{path}`: {reason}")
