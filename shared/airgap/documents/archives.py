"""Chart archives and chart directories as path → bytes: bounded, with nothing that leads out of them.

Bounds count bytes that were produced, not bytes that a header promises.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from airgap import limits
from airgap.durable import explained
from airgap.errors import DocumentError

IGNORE_FILE: Final = ".helmignore"
_GZIP: Final = b"\x1f\x8b"
_PLAIN_FILE: Final = 0o644
_OVERHEAD: Final = 2 * tarfile.BLOCKSIZE  # a header and padding for each file
_UNPACKED: Final = limits.CHART_UNPACKED + limits.CHART_FILES * _OVERHEAD
_SKIPPED: Final = frozenset({".git", ".venv", "node_modules"})  # of a working copy, never of a chart


def read_file(path: Path) -> bytes:
    """The bytes of a packed chart, no more than a chart may have unpacked.

    Raises:
        DocumentError: it is larger.
    """
    with explained(path), path.open("rb") as file:
        data = file.read(limits.CHART_UNPACKED + 1)
    if len(data) > limits.CHART_UNPACKED:
        raise DocumentError(str(path), f"a chart has at most {limits.CHART_UNPACKED} bytes")
    return data


def read_directory(root: Path) -> dict[str, bytes]:
    """Every file below `root`. Links that stay within it are read as what they point to.

    Raises:
        DocumentError: a link that leads out, a file that is none (a pipe, a device), or too much of it.
    """
    found: dict[str, bytes] = {}
    total = 0
    inside = root.resolve()
    ignored = _ignored_by(root / IGNORE_FILE)
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        if any(_matches(name, pattern) for pattern in ignored):
            continue
        if not path.resolve().is_relative_to(inside):
            raise DocumentError(
                f"{root}/{name}", "a link that leads out of the chart", hint="`helm package` resolves it"
            )
        if not path.is_file():
            raise DocumentError(f"{root}/{name}", "this is no file")
        with explained(path), path.open("rb") as file:
            data = file.read(_most(name) + 1)
        total += len(data)
        _check_size(str(root), name, len(data), total, len(found) + 1)
        found[name] = data
    return found


def _ignored_by(path: Path) -> tuple[str, ...]:
    """The patterns of a `.helmignore`: what `helm package` leaves out, such as a secret beside the chart.

    Exceptions (`!pattern`) are passed over: what a pattern before them names stays out.
    """
    if not path.is_file():
        return ()
    with explained(path):
        lines = path.read_text("utf-8", "replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and line.strip()[0] not in "#!")


def _matches(name: str, pattern: str) -> bool:
    """Whether a file, or a folder that it is in, is what a pattern says (helm's `internal/ignore`)."""
    parts = name.split("/")
    folder_only, plain = pattern.endswith("/"), pattern.strip("/")
    by_path = "/" in pattern.rstrip("/")
    for depth in range(1, len(parts) + (not folder_only)):
        wanted, given = (plain.split("/"), parts[:depth]) if by_path else ([plain], parts[depth - 1 : depth])
        if len(wanted) == len(given) and all(fnmatch.fnmatchcase(g, w) for g, w in zip(given, wanted, strict=True)):
            return True
    return False


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """Every file of a gzip-compressed tar.

    Raises:
        DocumentError: it is none, or holds what no chart may hold: paths that lead out, links, devices, too much.
    """
    plain = _decompress(data, name)
    found: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                _check_member(member, name)
                if member.isdir():
                    continue
                content = _content(archive, member, name)
                total += len(content)
                _check_size(name, member.name, len(content), total, len(found) + 1)
                path = _clean(member.name)
                if found.setdefault(path, content) != content:
                    raise DocumentError(name, f"{path!a} is in it twice, with different content")
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise DocumentError(name, f"not a chart archive: {error}") from error
    if not found:
        raise DocumentError(name, "not a chart archive: it is empty")
    return found


def pack(files: Mapping[str, bytes]) -> bytes:
    """A gzip-compressed tar of `files`; it depends on nothing but them. Chart.yaml comes first, as helm has it."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(files, key=lambda path: (path.count("/") != 1 or not path.endswith("/Chart.yaml"), path)):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(files[path]), _PLAIN_FILE
            archive.addfile(member, io.BytesIO(files[path]))
    return buffer.getvalue()


def is_foreign(path: str) -> bool:
    """Whether a path in an archive is absolute, climbs, or means something else on Windows."""
    parts = path.split("/")
    climbs = any(part == ".." for part in parts)
    return path.startswith("/") or climbs or "\\" in path or "\0" in path or bool(re.match(r"[A-Za-z]:", path))


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _SKIPPED)
        for inner in list(folders):
            if (path := Path(folder, inner)).is_symlink():
                folders.remove(inner)
                yield from _walk_link(path, root)
        for name in sorted(names):
            yield Path(folder, name)


def _walk_link(path: Path, root: Path) -> Iterator[Path]:
    """A linked folder within the chart is walked; one outside, or around itself, is handed on and refused."""
    target = path.resolve()
    if not target.is_relative_to(root.resolve()):
        yield path
    elif path.parent.resolve().is_relative_to(target):
        raise DocumentError(str(path), "a link to a folder that it stands in")
    else:
        yield from _walk(path)


def _decompress(data: bytes, name: str) -> bytes:
    if not data.startswith(_GZIP):
        raise DocumentError(
            name, f"not a chart archive: {'it is empty' if not data else 'it is not compressed by gzip'}"
        )
    pieces: list[bytes] = []
    total = 0
    rest = data
    try:
        while rest:
            stream = zlib.decompressobj(wbits=31)
            while rest and not stream.eof:
                piece = stream.decompress(rest, limits.CHUNK)
                rest = stream.unconsumed_tail
                total += len(piece)
                if total > _UNPACKED:
                    raise DocumentError(name, f"a chart has at most {limits.CHART_UNPACKED} bytes unpacked")
                pieces.append(piece)
            if not stream.eof:
                raise DocumentError(name, "not a chart archive: it is cut short")
            rest = stream.unused_data
    except zlib.error as error:
        raise DocumentError(name, f"not a chart archive: {error}") from error
    return b"".join(pieces)


def _check_member(member: tarfile.TarInfo, name: str) -> None:
    if is_foreign(member.name) or not _clean(member.name):
        if member.isdir() and member.name in (".", "./"):
            return
        raise DocumentError(name, f"{member.name!a} leads out of the chart")
    if not (member.isfile() or member.isdir()):
        kind = "a link" if member.issym() or member.islnk() else "a device or a pipe"
        raise DocumentError(name, f"{member.name!a} is {kind}, which no chart may hold")
    if member.size < 0:
        raise DocumentError(name, f"{member.name!a} says that it has {member.size} bytes")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes:
    if member.size > _most(member.name):
        raise DocumentError(name, _too_large(member.name))
    file = archive.extractfile(member)
    content = file.read() if file else b""
    if len(content) != member.size:
        raise DocumentError(name, f"not a chart archive: {member.name!a} is cut short")
    return content


def _check_size(name: str, path: str, size: int, total: int, count: int) -> None:
    if size > _most(path):
        raise DocumentError(name, _too_large(path))
    if total > limits.CHART_UNPACKED:
        raise DocumentError(name, f"a chart has at most {limits.CHART_UNPACKED} bytes unpacked")
    if count > limits.CHART_FILES:
        raise DocumentError(name, f"a chart has at most {limits.CHART_FILES} files")


def _too_large(path: str) -> str:
    return f"{path!a} has more than {_most(path)} bytes, the most that a file of a chart may have"


def _most(path: str) -> int:
    """Sub-charts that are archives may be as large as charts."""
    return limits.CHART_UNPACKED if path.endswith(".tgz") else limits.CHART_FILE


def _clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))
