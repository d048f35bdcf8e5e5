"""A Helm chart as the files it is made of, read from a directory or an archive that nobody vouches for.

Bounds and refusals are Helm's own (helm/helm pkg/chart/loader/archive), and stricter where Helm follows links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from airgap.documents import archives, yaml
from airgap.errors import DocumentError, InvalidInput

_SEMVER = re.compile(
    r"v?(0|[1-9]\d*)(\.\d+)?(\.\d+)?(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?", re.ASCII
)
_SUBCHART = re.compile(r"charts/([^/._][^/]*)/(.+)")
_PACKED_SUBCHART = re.compile(r"charts/([^/._][^/]*\.tgz)")
_DEEPEST: Final = 16  # charts within charts


@dataclass(frozen=True)
class Dependency:
    """One entry of a chart's `dependencies`.

    Attributes:
        name: of the chart it asks for.
        alias: the key of its values in the parent, where that is not the name.
        conditions: paths of values that switch it on or off; the first that exists counts.
        tags: names below `tags` that do the same where no condition does.
    """

    name: str
    alias: str = ""
    conditions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Where the parent's values hold those of the sub-chart."""
        return self.alias or self.name


@dataclass(frozen=True)
class Chart:
    """A chart and those within it.

    Attributes:
        name: as in its Chart.yaml.
        app_version: what an image's empty tag usually means.
        files: path → bytes of all its own files, those of sub-charts left out.
        charts: the sub-charts.
        place: where it stands in its parent, `charts/redis` or `charts/redis-1.2.0.tgz`; empty for the outermost.
        packed: whether it is an archive.
    """

    name: str
    version: str
    app_version: str
    files: Mapping[str, bytes] = field(repr=False)
    charts: tuple[Chart, ...] = ()
    place: str = ""
    packed: bool = False
    dependencies: tuple[Dependency, ...] = ()

    @property
    def renders(self) -> bool:
        """Whether any template of its own makes a manifest; partials alone make none."""
        names = (path for path in self.files if path.startswith("templates/"))
        return any(not path.rpartition("/")[2].startswith("_") for path in names)

    def keyed(self) -> Iterator[tuple[str, Chart, Dependency | None]]:
        """Each sub-chart with the key of its values; one that is used under two aliases comes twice."""
        for chart in self.charts:
            entries = [entry for entry in self.dependencies if entry.name == chart.name]
            if not entries:
                yield chart.name, chart, None
            for entry in entries:
                yield entry.key, chart, entry


def read(path: Path) -> Chart:
    """Read the chart in a directory or a .tgz.

    Raises:
        InvalidInput: there is nothing, or nothing that is a chart.
        DocumentError: a chart that breaks the rules, with the file that does.
    """
    if path.is_dir():
        return _assemble(archives.read_directory(path), str(path), packed=False)
    return _read_archive(archives.read_file(path), str(path), 0)


def files_of(chart: Chart, prefix: str = "") -> dict[str, bytes]:
    """Every file, those of sub-charts below their place: `charts/redis-1.2.0.tgz/values.yaml`."""
    found = {prefix + path: data for path, data in chart.files.items()}
    for inner in chart.charts:
        found |= files_of(inner, f"{prefix}{inner.place}/")
    return found


def with_files(chart: Chart, changed: Mapping[str, bytes]) -> Chart:
    """The same chart with some files replaced or added, named as `files_of` names them."""
    inner: list[Chart] = []
    rest = dict(changed)
    for sub in chart.charts:
        start = sub.place + "/"
        mine = {path.removeprefix(start): rest.pop(path) for path in changed if path.startswith(start)}
        inner.append(with_files(sub, mine) if mine else sub)
    return replace(chart, files={**chart.files, **rest}, charts=tuple(inner))


def contents(chart: Chart, original: Chart | None = None) -> dict[str, bytes]:
    """The files to be written for a chart: sub-charts that are archives are one file each.

    Args:
        chart: what to write.
        original: an earlier state; an archive in which nothing changed since keeps its bytes.
    """
    found = dict(chart.files)
    before = {inner.place: inner for inner in original.charts} if original else {}
    for inner in chart.charts:
        old = before.get(inner.place)
        if not inner.packed:
            found |= {f"{inner.place}/{path}": data for path, data in contents(inner, old).items()}
        elif old is None or inner != old or inner.place not in found:
            found[inner.place] = pack(inner, old)
    return found


def pack(chart: Chart, original: Chart | None = None) -> bytes:
    """The archive of a chart; the same chart always gives the same bytes."""
    return archives.pack({f"{chart.name}/{path}": data for path, data in contents(chart, original).items()})


def _read_archive(data: bytes, name: str, depth: int) -> Chart:
    files = archives.unpack(data, name)
    if "Chart.yaml" in files:
        raise DocumentError(name, "Chart.yaml is not in a folder of its own")
    tops = {path.partition("/")[0] for path in files if path.endswith("/Chart.yaml") and path.count("/") == 1}
    if len(tops) != 1:
        raise DocumentError(
            name, f"{len(tops)} charts in one archive, not one" if tops else "not a chart: no Chart.yaml"
        )
    top = tops.pop() + "/"
    mine = {path.removeprefix(top): content for path, content in files.items() if path.startswith(top)}
    return _assemble(mine, name, packed=True, depth=depth)


def _assemble(files: Mapping[str, bytes], name: str, *, packed: bool, depth: int = 0) -> Chart:
    if depth > _DEEPEST:
        raise DocumentError(name, f"more than {_DEEPEST} charts within charts")
    if "Chart.yaml" not in files:
        raise DocumentError(name, "not a chart: no Chart.yaml", hint="name the folder in which Chart.yaml lies")
    own: dict[str, bytes] = {}
    folders: dict[str, dict[str, bytes]] = {}
    charts: list[Chart] = []
    for path, data in files.items():
        if match := _PACKED_SUBCHART.fullmatch(path):
            charts.append(replace(_read_archive(data, f"{name}/{path}", depth + 1), place=path))
            own[path] = data
        elif match := _SUBCHART.fullmatch(path):
            folders.setdefault(match[1], {})[match[2]] = data
        else:
            own[path] = data
    for folder, inside in folders.items():
        place = f"charts/{folder}"
        if "Chart.yaml" not in inside:  # Helm leaves such a folder alone
            own |= {f"{place}/{path}": data for path, data in inside.items()}
            continue
        charts.append(replace(_assemble(inside, f"{name}/{place}", packed=False, depth=depth + 1), place=place))
    charts.sort(key=lambda chart: chart.place)
    described = _described(files, name)
    return replace(described, files=own, charts=tuple(charts), packed=packed)


def _described(files: Mapping[str, bytes], name: str) -> Chart:
    meta = _mapping(files["Chart.yaml"], f"{name}/Chart.yaml")
    title, version = meta.text("name"), meta.text("version")
    if not title or title in (".", "..") or "/" in title or "\\" in title or not title.isprintable():
        raise DocumentError(f"{name}/Chart.yaml", f"{title!a} is no name for a chart")
    if not _SEMVER.fullmatch(version):
        raise DocumentError(f"{name}/Chart.yaml", f"{version!a} is no version: it is written like 1.2.3")
    listed = meta.get("dependencies")
    if listed is None and "requirements.yaml" in files:
        listed = _mapping(files["requirements.yaml"], f"{name}/requirements.yaml").get("dependencies")
    return Chart(title, version, meta.text("appVersion"), {}, dependencies=_dependencies(listed, name))


def _dependencies(node: yaml.Node | None, name: str) -> tuple[Dependency, ...]:
    if node is None or (isinstance(node, yaml.Scalar) and node.is_null):
        return ()
    if not isinstance(node, yaml.Sequence) or not all(isinstance(item, yaml.Mapping) for item in node.items):
        raise DocumentError(
            f"{name}/Chart.yaml:{node.line}", "`dependencies` is a list of mappings, with no empty entry"
        )
    return tuple(_dependency(item) for item in node.items if isinstance(item, yaml.Mapping))


def _dependency(item: yaml.Mapping) -> Dependency:
    tags = item.get("tags")
    names = tags.items if isinstance(tags, yaml.Sequence) else ()
    conditions = tuple(part.strip() for part in item.text("condition").split(",") if part.strip())
    texts = tuple(tag.value for tag in names if isinstance(tag, yaml.Scalar))
    return Dependency(item.text("name"), item.text("alias"), conditions, texts)


def _mapping(data: bytes, name: str) -> yaml.Mapping:
    documents = yaml.read(data, name, unique=False)
    root = documents[0].root if documents else None
    if not isinstance(root, yaml.Mapping):
        raise DocumentError(name, "it is no mapping of keys to values")
    return root


def values_of(chart: Chart, name: str) -> yaml.Mapping | None:
    """The chart's own values.yaml, or None where it has none or an empty one.

    Raises:
        DocumentError: it cannot be read, or is no mapping.
    """
    data = chart.files.get("values.yaml", b"")
    return values_in(data, f"{name}/values.yaml")


def values_in(data: bytes, name: str) -> yaml.Mapping | None:
    """What a values file says, or None for an empty one.

    Raises:
        DocumentError: it cannot be read, or is no mapping.
    """
    documents = yaml.read(data, name, unique=False)
    root = documents[0].root if documents else None
    if root is None:
        return None
    if not isinstance(root, yaml.Mapping):
        raise DocumentError(name, "values are a mapping of keys to values", hint="helm refuses it as well")
    return root


def check_name(path: str) -> str:
    """Return `path` if it can be the name of a chart's file inside the chart.

    Raises:
        InvalidInput: it leads out of it.
    """
    if archives.is_foreign(path):
        raise InvalidInput(f"{path!a} leads out of the chart")
    return path
