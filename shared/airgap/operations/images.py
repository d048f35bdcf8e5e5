"""Which images do these sources need: manifests, charts and plain names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airgap.discovery.findings import Certainty, Discovery, Finding, Place, joined
from airgap.errors import InvalidInput, InvalidReference
from airgap.operations import manifest_files
from airgap.operations.sources import Sources
from airgap.references import Reference


def find_images(sources: Sources, *, optional: bool = False) -> Discovery:
    """Every image that `sources` need, with the places, and everything that could not be examined.

    Args:
        sources: where to look.
        optional: whether there may be nothing to look at.

    Raises:
        InvalidInput: nothing was pointed at, a source does not exist, or a plain name is no image name.
        StoreError: a file may not be read.
    """
    if sources.is_empty and not optional:
        raise InvalidInput(
            "nothing to look at", hint="point at manifests with -f, at a chart with --chart, or name an --image"
        )
    return joined(
        (
            *_in_manifests(sources),
            *_in_charts(sources),
            Discovery(tuple(_named(text, Place("--image", "")) for text in sources.images)),
            *(Discovery(tuple(_listed(name))) for name in sources.image_files),
        )
    )


def _in_manifests(sources: Sources) -> Iterator[Discovery]:
    if sources.manifests:
        from airgap.discovery import manifests  # takes longer to load than many an answer to find

        files = manifest_files.read_all(sources.manifests, recursive=sources.recursive, piped=sources.piped)
        yield from (manifests.find(file.data, file.name) for file in files)


def _in_charts(sources: Sources) -> Iterator[Discovery]:
    if sources.charts:
        from airgap.discovery import charts

        yield from (charts.find(chart, sources.rendering, sources.fetched.get(chart)) for chart in sources.charts)


def _listed(name: str) -> Iterator[Finding]:
    """A file with a name a line; what follows a `#` is a note."""
    data = manifest_files.read_stdin() if name == manifest_files.STDIN else manifest_files.read_file(Path(name))
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"`{name}` is no text: byte {error.start} is no UTF-8") from error
    found = 0
    for number, line in enumerate(lines, 1):
        text = "" if line.lstrip().startswith("#") else line.partition(" #")[0].strip()
        if text:
            found += 1
            yield _named(text, Place(name, "", number))
    if not found:
        raise InvalidInput(f"`{name}` names no image", hint="write one image a line")


def _named(text: str, place: Place) -> Finding:
    try:
        return Finding(Reference.parse(text), text, place, Certainty.CERTAIN)
    except InvalidReference as error:
        where = f"{place.source}:{place.line}: " if place.line else ""
        raise InvalidReference(where + error.message, hint=error.hint) from error
