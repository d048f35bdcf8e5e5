"""Charts, manifests and files as OCI artifacts, in the forms that helm and oras know; see docs/bundle-format.md.

What has no name in any registry gets one here: `airgap.alt/charts/NAME:VERSION`, and `airgap.alt/manifests/BUNDLE` and
`airgap.alt/files/BUNDLE`. The host is nobody's, and relocation replaces it as it replaces others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from airgap import limits, strictjson
from airgap.bundles.composition import Asked, Label
from airgap.bundles.inventory import KINDS, Item, Why
from airgap.descriptors import OCI_EMPTY, OCI_MANIFEST
from airgap.errors import InvalidInput, InvalidManifest, InvalidReference
from airgap.references import DEFAULT_TAG, MADE_HERE, Reference
from airgap.stores import Source
from airgap.stores.local import LocalStore, Piece, of_bytes
from airgap.transfer.graph import Graph

if TYPE_CHECKING:
    from airgap.documents.charts import Chart

CHART_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CHART_PROVENANCE: Final = "application/vnd.cncf.helm.chart.provenance.v1.prov"
MANIFESTS_TYPE: Final = "application/vnd.airgap.manifests.v1"
MANIFEST_LAYER: Final = "application/yaml"
FILES_TYPE: Final = "application/vnd.airgap.files.v1"
FILE_LAYER: Final = "application/octet-stream"
TITLE: Final = "org.opencontainers.image.title"
VERSION: Final = "org.opencontainers.image.version"
LISTS: Final = {"manifests": MANIFESTS_TYPE, "files": FILES_TYPE}
"""Kinds whose layers are files with a title each."""
KINDS_MADE: Final = ("chart", *LISTS)
"""Kinds that packing makes of what lies on this machine."""

_RENAMED: Final = {
    "manifests": "rename it, or pack the images alone, with --images-only",
    "files": "name it anew: --file PATH=NAME",
}
_EMPTY: Final = b"{}"
_NOUNS: Final = {"manifests": "manifest", "files": "file"}
_LONGEST_PART: Final = 255  # bytes of a component, as file systems have it
_LONGEST_TITLE: Final = 1024
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Artifact:
    """Something of this machine's that travels with the images.

    Attributes:
        kind: `chart`, `manifests` or `files`.
        manifest: the bytes of its OCI manifest.
        pieces: its config and layers.
        why: where it comes from.
    """

    kind: str
    reference: Reference
    manifest: bytes
    pieces: tuple[Piece, ...]
    why: tuple[Why, ...]


def of_chart(chart: Chart, archive: Piece, provenance: Piece | None, source: str) -> Artifact:
    """A chart, as `helm push` would make it but for the time, which is left out.

    Raises:
        InvalidInput: its name or version cannot be a name in a registry.
    """
    try:
        reference = _named("charts", chart.name, chart.version)
    except InvalidReference as error:
        raise InvalidInput(
            f"the chart `{source}` can have no name in a registry: {error.message}",
            hint="pack its images alone, with --images-only",
        ) from error
    from airgap.documents.chartmeta import config_of  # reads YAML, which takes a while to load

    config = of_bytes(config_of(chart, source), CHART_CONFIG, source)
    layers = (archive, provenance) if provenance else (archive,)
    document = {"annotations": {TITLE: chart.name, VERSION: chart.version}}
    return Artifact("chart", reference, _manifest(document, config, layers), (config, *layers), (_why(source),))


def of_files(kind: str, label: Label, files: Mapping[str, Piece], sources: Iterable[str]) -> Artifact:
    """Manifests or files: a layer each, with its title.

    Args:
        kind: one of `LISTS`.
        label: of the bundle; a version that is empty is `latest`.
        files: title → content.
        sources: what the user pointed at.

    Raises:
        InvalidInput: a title that could not be unpacked everywhere, or too many.
    """
    name = re.sub(r"[^a-z0-9]+", "-", label.name.lower()).strip("-") or "bundle"
    reference = _named(kind, name, label.version or DEFAULT_TAG)
    try:
        _check_titles(files)
    except InvalidInput as error:
        error.hint = _RENAMED[kind]
        raise
    layers = [_titled(files[title], title) for title in sorted(files)]
    config = of_bytes(_EMPTY, OCI_EMPTY, "nothing")
    manifest = _manifest({"artifactType": LISTS[kind]}, config, layers)
    if len(manifest) > limits.MANIFEST:
        raise InvalidInput(
            f"{len(files)} files are more than one artifact can list", hint="put them into an archive first: tar -cf"
        )
    return Artifact(kind, reference, manifest, (config, *layers), tuple(_why(source) for source in sources))


def joined(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Each name once, with all reasons.

    Raises:
        InvalidInput: two of one name differ.
    """
    found: dict[Reference, Artifact] = {}
    for artifact in artifacts:
        other = found.setdefault(artifact.reference, artifact)
        if other.manifest != artifact.manifest:
            name = f"{artifact.kind} {artifact.reference.repository.rpartition('/')[2]} {artifact.reference.tag}"
            raise InvalidInput(
                f"`{other.why[0].source}` and `{artifact.why[0].source}` are both the {name}, and differ",
                hint="pack one of them, or give one another version",
            )
        found[artifact.reference] = replace(other, why=tuple(dict.fromkeys((*other.why, *artifact.why))))
    return tuple(found.values())


def store_of(artifacts: Sequence[Artifact], behind: Source) -> Source:
    """A source that has them, and everything that the source behind it has."""
    if not artifacts:
        return behind
    manifests = {artifact.reference: artifact.manifest for artifact in artifacts}
    return LocalStore(manifests, (piece for artifact in artifacts for piece in artifact.pieces), behind)


def asked(artifacts: Iterable[Artifact]) -> dict[Reference, Asked]:
    """What the inventory says of them."""
    return {artifact.reference: Asked(artifact.why, artifact.kind) for artifact in artifacts}


def titles_of(item: Item, graph: Graph) -> tuple[str, ...]:
    """The files of an item, by the names they are to be unpacked under; empty for images and charts.

    Raises:
        InvalidManifest: one has no name, or one that leads elsewhere than into a folder of its own.
    """
    if item.kind not in LISTS:
        return ()
    layers = graph.nodes[item.digest].manifest.layers
    titles = tuple(dict(layer.annotations).get(TITLE, "") for layer in layers)
    try:
        _check_titles(titles)
    except InvalidInput as error:
        raise InvalidManifest(f"`{item.reference}` is refused: {error.message}") from error
    return titles


def tally(items: Iterable[Item], graph: Graph) -> dict[str, int]:
    """How many there are of what: `{"image": 12, "chart": 1, "file": 3}`.

    Raises:
        InvalidManifest: see `titles_of`.
    """
    counts = dict.fromkeys(KINDS, 0)
    for item in items:
        counts[item.kind] = counts.get(item.kind, 0) + (len(titles_of(item, graph)) if item.kind in LISTS else 1)
    return {_NOUNS.get(kind, kind): count for kind, count in counts.items() if count}


def check_title(title: str) -> str:
    """Return `title` if it is a relative path that means the same everywhere and stays where it is unpacked.

    Raises:
        InvalidInput: with the reason.
    """
    parts = title.split("/")
    reason = ""
    if not title or any(part in ("", ".", "..") for part in parts):
        reason = "it is no path below a folder"
    elif not title.isprintable() or "\\" in title or re.match(r"[A-Za-z]:", title):
        reason = "it has a character that cannot stand in a path everywhere"
    elif any(_DEVICES.fullmatch(part) or part[-1] in ". " for part in parts):
        reason = "a part of it is no file name on Windows"
    elif len(title.encode()) > _LONGEST_TITLE or any(len(part.encode()) > _LONGEST_PART for part in parts):
        reason = "it is too long"
    if reason:
        raise InvalidInput(f"a file may not be called {title[:100]!a}: {reason}", hint=_RENAMED["files"])
    return title


def _check_titles(titles: Iterable[str]) -> None:
    known: set[str] = set()
    for title in titles:
        if check_title(title) in known:
            raise InvalidInput(f"two files are called {title!a}")
        known.add(title)
    for title in known:
        parents = ("/".join(title.split("/")[:depth]) for depth in range(1, title.count("/") + 1))
        both = next((parent for parent in parents if parent in known), "")
        if both:
            raise InvalidInput(f"{both!a} would be a file and a folder at once")


def _named(folder: str, name: str, version: str) -> Reference:
    """A tag has no `+`, so that Helm writes `_` in its place."""
    return Reference.parse(f"{MADE_HERE}/{folder}/{name}:{version.replace('+', '_')}")


def _titled(piece: Piece, title: str) -> Piece:
    return replace(piece, descriptor=replace(piece.descriptor, annotations=((TITLE, title),)))


def _manifest(more: Mapping[str, object], config: Piece, layers: Iterable[Piece]) -> bytes:
    return strictjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor.to_json(),
            "layers": [layer.descriptor.to_json() for layer in layers],
            **more,
        }
    )


def _why(source: str) -> Why:
    return Why(source, "", 0, "certain")
