"""What travels besides the images: the charts and manifests that were looked through, and files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from airgap import durable
from airgap.adapters import helm
from airgap.bundles import artifacts
from airgap.bundles.artifacts import Artifact
from airgap.bundles.composition import Label
from airgap.errors import InvalidInput
from airgap.operations import manifest_files, places
from airgap.operations.manifest_files import STDIN, ManifestFile
from airgap.operations.sources import Sources
from airgap.stores.local import Piece, of_bytes, of_file


@dataclass(frozen=True)
class Wanted:
    """What shall travel.

    Attributes:
        label: what the bundle is called.
        files: `PATH` or `PATH=NAME`, as the user typed them.
        images_only: whether charts and manifests stay here.
        place: where the bundle goes, if that is known.
    """

    label: Label
    files: tuple[str, ...] = ()
    images_only: bool = False
    place: str = ""


@contextmanager
def gathered(sources: Sources, wanted: Wanted) -> Iterator[tuple[Sources, tuple[Artifact, ...]]]:
    """The artifacts, and the sources that images are to be looked for in: all of it on this machine from here on.

    Digests are taken before anybody looks for images, and content is compared with them when it is copied: a bundle
    cannot hold a manifest other than the one that was searched.

    Raises:
        InvalidInput: something does not exist or has no possible name, or two things have one name and differ.
        DocumentError: a chart breaks the rules for charts.
        StoreError: a file may not be read.
    """
    with ExitStack() as stack:
        local = {chart: stack.enter_context(helm.fetched(chart, sources.rendering)) for chart in sources.charts}
        piped = manifest_files.read_stdin() if STDIN in sources.manifests else None
        held = replace(sources, fetched=local, piped=piped)
        made: list[Artifact] = []
        if not wanted.images_only:
            made += [_chart(chart, Path(place)) for chart, place in local.items()]
            made += _manifests(held, wanted)
        yield held, artifacts.joined((*made, *_files(wanted)))


def _chart(chart: str, place: Path) -> Artifact:
    """An archive as it is, with its provenance if that lies beside it; a directory packed."""
    from airgap.documents import charts  # reads YAML, which takes a while to load

    read = charts.read(place)
    if place.is_dir():
        packed = of_bytes(charts.pack(read), artifacts.CHART_LAYER, chart, lambda: charts.pack(charts.read(place)))
        return artifacts.of_chart(read, packed, None, chart)
    beside = place.with_name(f"{place.name}.prov")
    provenance = of_file(beside, artifacts.CHART_PROVENANCE) if beside.is_file() else None
    return artifacts.of_chart(read, of_file(place, artifacts.CHART_LAYER), provenance, chart)


def _manifests(sources: Sources, wanted: Wanted) -> Iterator[Artifact]:
    files = manifest_files.read_all(sources.manifests, recursive=sources.recursive, piped=sources.piped)
    found = [(_place(file), file.relative, _manifest(file)) for file in files]
    if found:
        alike: dict[Path, list[tuple[str, ...]]] = {}
        for place, relative, _ in found:
            alike.setdefault(relative, []).append(place)
        named = {_apart(place, relative, alike[relative]): piece for place, relative, piece in found}
        yield artifacts.of_files("manifests", wanted.label, named, sources.manifests)


def _manifest(file: ManifestFile) -> Piece:
    if file.path is None:
        return of_bytes(file.data, artifacts.MANIFEST_LAYER, file.name)
    return of_file(file.path, artifacts.MANIFEST_LAYER)


def _place(file: ManifestFile) -> tuple[str, ...]:
    """The parts of its path from the root on, as far as it has one."""
    inside = file.relative.parts
    return (*Path(*file.path.parts[: -len(inside)]).resolve().parts, *inside) if file.path else inside


def _apart(place: tuple[str, ...], relative: Path, alike: Sequence[tuple[str, ...]]) -> str:
    """The name of a manifest; with as many folders in front as tell it from others of that name."""
    depth = len(relative.parts)
    while depth < len(place) and any(other[-depth:] == place[-depth:] for other in alike if other != place):
        depth += 1
    return "/".join(place[-depth:])


def _files(wanted: Wanted) -> Iterator[Artifact]:
    if not wanted.files:
        return
    pieces: dict[str, Piece] = {}
    for text in wanted.files:
        _check_apart(text, wanted.place)
        for path, title in _named(text):
            artifacts.check_title(title)
            other = pieces.setdefault(title, of_file(path, artifacts.FILE_LAYER))
            if other.place != str(path):
                raise InvalidInput(
                    f"`{other.place}` and `{path}` would both be called {title!a}",
                    hint="name one anew: --file PATH=NAME",
                )
    yield artifacts.of_files("files", wanted.label, pieces, wanted.files)


def _check_apart(text: str, place: str) -> None:
    """A bundle within what it holds would be read while it is written, and hold the one that was there before it."""
    path, _ = _parted(text)
    with durable.explained(path):
        if place and not places.is_elsewhere(place) and Path(place).resolve().is_relative_to(path.resolve()):
            raise InvalidInput(
                f"`{place}` would lie in `{path}`, which --file packs", hint="write it elsewhere, with -o"
            )


def _named(text: str) -> Iterator[tuple[Path, str]]:
    """The files that `PATH` or `PATH=NAME` means, each with its title."""
    if not text:
        raise InvalidInput("--file names nothing", hint="is a variable empty? all that is here would be `.`")
    path, name = _parted(text)
    with durable.explained(path):
        path.stat()
        title = name or path.resolve().name
        if not path.is_dir():
            yield path, title
            return
    found = sorted(_below(path, path.resolve()))
    if not found:
        raise InvalidInput(f"there are no files in `{path}`")
    yield from ((file, f"{title}/{file.relative_to(path).as_posix()}") for file in found)


def _parted(text: str) -> tuple[Path, str]:
    """Path and name; a path may have a `=` in it, too."""
    first, _, name = text.rpartition("=")
    with contextlib.suppress(OSError):  # a text too long for a path is none
        if not first or Path(text).exists():
            return Path(text), ""
    return Path(first), name.rstrip("/")


def _below(folder: Path, inside: Path) -> Iterator[Path]:
    """Every file; a link within the directory is what it points to."""
    with durable.explained(folder):
        entries = sorted(folder.iterdir())
    for path in entries:
        if not path.resolve().is_relative_to(inside):
            raise InvalidInput(f"`{path}` is a link that leads out of `{inside}`", hint="name what it points to")
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, inside)
        elif path.is_dir():
            raise InvalidInput(f"`{path}` is a link to a directory", hint="name that directory with --file PATH=NAME")
        else:
            yield path
