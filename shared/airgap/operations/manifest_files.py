"""From what the user pointed at with `-f` to the bytes of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airgap import durable, limits
from airgap.errors import InvalidInput

STDIN = "-"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})  # what kubectl takes from a directory


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file's bytes.

    Attributes:
        name: how the user would name it.
        data: what is in it.
        path: where it lies; None for standard input.
        relative: its place in an output directory.
    """

    name: str
    data: bytes
    path: Path | None
    relative: Path


def read_all(names: Iterable[str], *, recursive: bool = False, piped: bytes | None = None) -> Iterator[ManifestFile]:
    """Read files, the manifests in directories, and standard input for `-`, unless it was `piped` before.

    Raises:
        InvalidInput: a name that is a URL, does not exist, or is a directory without manifests; an empty input.
        StoreError: a file that may not be read.
    """
    seen: set[Path] = set()
    for name in names:
        if name == STDIN:
            yield ManifestFile("stdin", read_stdin() if piped is None else piped, None, Path("stdin.yaml"))
            continue
        for path, relative in _files(name, recursive):
            if path not in seen:
                seen.add(path)
                yield ManifestFile(str(path), read_file(path), path, relative)


def read_file(path: Path) -> bytes:
    """The bytes of a file of the user's.

    Raises:
        InvalidInput: there is none, or it is larger than any manifest.
        StoreError: it may not be read.
    """
    with durable.explained(path), path.open("rb") as file:
        data = file.read(limits.YAML_FILE + 1)
    return _bounded(data, str(path))


def read_stdin() -> bytes:
    """What is piped in.

    Raises:
        InvalidInput: it is closed, or empty.
    """
    try:
        with open(0, "rb", closefd=False) as file:
            data = file.read(limits.YAML_FILE + 1)
    except OSError as error:
        raise InvalidInput("standard input is closed", hint="pipe a manifest in, or name a file with -f") from error
    if not data:
        raise InvalidInput("standard input is empty", hint="pipe a manifest in, or name a file with -f")
    return _bounded(data, "stdin")


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > limits.YAML_FILE:
        raise InvalidInput(f"`{name}` is larger than the {limits.YAML_FILE} bytes that are read", hint="split the file")
    return data


def _files(name: str, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Files below a name, each with its place below a directory that was named."""
    if name.startswith(("http://", "https://")):
        raise InvalidInput(f"`{name}` is not read from the network", hint=f"fetch it first: curl -fLO {name}")
    path = Path(name)
    with durable.explained(path):
        is_directory = path.is_dir()
    if not is_directory:
        yield path, Path(path.name)
        return
    found = [file for file in _below(path, recursive) if file.suffix in _SUFFIXES]
    if not found:
        hint = "name files, or another directory" if recursive else "go into the directories below it with -R"
        raise InvalidInput(f"there are no .yaml, .yml or .json files in `{name}`", hint=hint)
    for file in found:
        yield file, file.relative_to(path)


def _below(directory: Path, recursive: bool) -> Iterator[Path]:
    with durable.explained(directory):
        if not recursive:
            yield from sorted(path for path in directory.iterdir() if path.is_file())
            return
        for root, directories, files in os.walk(directory, onerror=_refuse):
            directories.sort()
            yield from (Path(root, file) for file in sorted(files))


def _refuse(error: OSError) -> None:
    raise error
