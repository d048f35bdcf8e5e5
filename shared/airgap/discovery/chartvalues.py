"""The values of a chart as its templates see them, and which of them could be part of an image.

Helm's rule (helm/helm pkg/chart/common/util/coalesce.go): a sub-chart's own values lie below its name or alias in the
parent's values; what the parent says there wins; what the user says wins over both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml as pyyaml

from airgap.documents import charts, yaml
from airgap.documents.charts import Chart
from airgap.errors import InvalidReference
from airgap.references import Reference

Path = tuple[str | int, ...]

USER: Final = "the values given"  # the file of a value that no file of the chart says

_WHOLE: Final = re.compile(r"/?[A-Za-z0-9][A-Za-z0-9._/:@+-]*", re.ASCII)
_IMAGE_KEY = re.compile(r"image|registry|repositor|^(base)?repo(name)?$|^hub$")
_NO_IMAGE_KEY = re.compile(
    r"pull|policy|secret|tag|digest|sha|version|type|format|feature|size|quality|debug|locality|mirror|skip|priority|"
    r"allow|magick|credential|username|password|artifact|annotation|label"
)
_PART_KEY = re.compile(r"^(name|path|namespace|org|organi[sz]ation|project|prefix|host|account|vendor|basename|base)$")
_TAG_KEY = re.compile(r"^(image)?(tag|version|digest|sha|sha256)$", re.IGNORECASE)
_SMALL: Final = 12  # keys that a mapping which describes one image has at most


@dataclass(frozen=True)
class Leaf:
    """One value as it is written: the last file that says it, and where.

    Attributes:
        scalar: its text and place; None for an empty mapping or list.
        file: as `charts.files_of` names it, or `USER`.
    """

    scalar: yaml.Scalar
    file: str


Tree = Any  # dict[str, Tree] | list[Tree] | Leaf | None


@dataclass(frozen=True)
class Values:
    """All values of a chart and its sub-charts, as seen from the outermost.

    Attributes:
        tree: mappings and lists down to `Leaf`.
        owners: where each sub-chart's values begin, with the chart; the outermost is at `()`.
        switches: paths of `condition` and `tags` entries, by where the sub-chart's values begin.
    """

    tree: dict[str, Tree]
    owners: dict[Path, Chart] = field(repr=False)
    switches: dict[Path, tuple[Path, ...]] = field(default_factory=dict, repr=False)

    def owner(self, path: Path) -> Chart:
        """The chart whose templates read the value at `path`."""
        return self.owners[max((start for start in self.owners if path[: len(start)] == start), key=len)]

    def at(self, path: Path) -> Tree:
        """What lies at a path, or None."""
        node: Tree = self.tree
        for part in path:
            if isinstance(node, dict):
                node = node.get(str(part))
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                node = node[part]
            else:
                return None
        return node

    def text(self, path: Path) -> str:
        """The scalar at a path, empty where there is none or it is null."""
        leaf = self.at(path)
        return leaf.scalar.value if isinstance(leaf, Leaf) and not leaf.scalar.is_null else ""


@dataclass(frozen=True)
class Candidate:
    """A value that could be part of an image; several paths where an anchor makes them one text.

    Attributes:
        text: what it says; empty for null and for nothing.
        leaf: where it is written.
    """

    paths: tuple[Path, ...]
    text: str
    leaf: Leaf

    @property
    def key(self) -> str:
        """The last key that is a word."""
        return next((part for part in reversed(self.paths[0]) if isinstance(part, str)), "")


def values_of(chart: Chart, name: str, given: Sequence[tuple[str, bytes]] = ()) -> Values:
    """Read the values of `chart` and all within it, under those `given` as files by the user.

    Raises:
        DocumentError: one of the files cannot be read.
    """
    owners: dict[Path, Chart] = {}
    switches: dict[Path, tuple[Path, ...]] = {}
    tree = _coalesced(chart, name, "", (), owners, switches)
    for title, data in given:
        root = charts.values_in(data, title)
        if root is not None:
            tree = _merged(tree, _tree(root, USER))
    return Values(tree, owners, switches)


def candidates(values: Values) -> tuple[Candidate, ...]:
    """Every value that could be part of an image, by its key or by its shape."""
    found: dict[tuple[str, int], Candidate] = {}
    for path, leaf, siblings in _leaves(values.tree):
        if not _could_be(path, leaf, siblings):
            continue
        key = (leaf.file, leaf.scalar.start)
        known = found.get(key)
        text = "" if leaf.scalar.is_null else leaf.scalar.value
        found[key] = Candidate((*(known.paths if known else ()), path), text, leaf)
    return tuple(found.values())


def typed(tree: Tree) -> Any:
    """A tree in Python's types, scalars as YAML reads them, for values that are handed back to helm."""
    if isinstance(tree, dict):
        return {key: typed(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [typed(item) for item in tree]
    return _scalar(tree.scalar) if isinstance(tree, Leaf) else None


def overrides(values: Values, settings: dict[Path, Any]) -> dict[str, Any]:
    """The smallest mapping that sets `settings`; a list is repeated whole, because helm replaces lists."""
    result: dict[str, Any] = {}
    for path, value in settings.items():
        node: Any = result
        for index, part in enumerate(path[:-1]):
            fresh: Any = {} if isinstance(path[index + 1], str) else typed(values.at(path[: index + 1]))
            node = node.setdefault(part, fresh) if isinstance(node, dict) else node[part]
        node[path[-1]] = value
    return result


def path_text(path: Path) -> str:
    """A path as `helm --set` takes it: `sidecars[0].image.repository`."""
    return yaml.path_text(path).removeprefix(".")


def is_switched_off(leaf: Tree) -> bool:
    """Whether a value says no."""
    return isinstance(leaf, Leaf) and leaf.scalar.value.lower() == "false" and not leaf.scalar.style


def is_reference(text: str) -> bool:
    """Whether a text is a full image name: it has a path and a tag or digest."""
    last = text.rpartition("/")[2]
    return "/" in text and (":" in last or "@" in text) and parsed(text) is not None


def parsed(text: str) -> Reference | None:
    """The reference that `text` is, or None."""
    try:
        return Reference.parse(text)
    except InvalidReference:
        return None


def _coalesced(
    chart: Chart,
    name: str,
    prefix: str,
    start: Path,
    owners: dict[Path, Chart],
    switches: dict[Path, tuple[Path, ...]],
) -> dict[str, Tree]:
    owners[start] = chart
    root = charts.values_of(chart, name)
    own: dict[str, Tree] = _tree(root, f"{prefix}values.yaml") if root is not None else {}
    for key, inner, dependency in chart.keyed():
        below = (*start, key)
        if dependency is not None:
            switches[below] = tuple(
                (*start, *path)
                for path in (
                    *(tuple(condition.split(".")) for condition in dependency.conditions),
                    *(("tags", tag) for tag in dependency.tags),
                )
            )
        theirs = _coalesced(inner, f"{name}/{inner.place}", f"{prefix}{inner.place}/", below, owners, switches)
        mine = own.get(key)
        own[key] = _merged(theirs, mine) if isinstance(mine, dict) else theirs
    return own


def _merged(under: dict[str, Tree], over: dict[str, Tree]) -> dict[str, Tree]:
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _tree(node: yaml.Node, file: str) -> Tree:
    if isinstance(node, yaml.Mapping):
        return {key.value: _tree(value, file) for key, value in node.items}
    if isinstance(node, yaml.Sequence):
        return [_tree(item, file) for item in node.items]
    return Leaf(node, file)


def _leaves(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, Leaf, dict[str, Tree]]]:
    """Every scalar with its path and the mapping it stands in (empty for one in a list)."""
    entries: Any = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in entries:
        if isinstance(value, Leaf):
            yield (*path, key), value, tree if isinstance(tree, dict) else {}
        elif value is not None:
            yield from _leaves(value, (*path, key))


def _could_be(path: Path, leaf: Leaf, siblings: dict[str, Tree]) -> bool:
    scalar = leaf.scalar
    empty = scalar.is_null or not scalar.value
    if not empty and not (scalar.is_string and _WHOLE.fullmatch(scalar.value) and "://" not in scalar.value):
        return False
    word = next((part for part in reversed(path) if isinstance(part, str)), "")
    key = re.sub(r"[^a-z0-9]", "", word.lower())
    if _NO_IMAGE_KEY.search(key) and not (key.startswith("image") and key.endswith(("registry", "repository"))):
        return not empty and is_reference(scalar.value) and isinstance(path[-1], str)
    if _IMAGE_KEY.search(key):
        return True
    if not empty and is_reference(scalar.value):
        return True
    return bool(_PART_KEY.search(key)) and _describes_image(path, siblings)


def _describes_image(path: Path, siblings: dict[str, Tree]) -> bool:
    """Whether the mapping around a value describes one image: it is called so, or has a tag."""
    above = next((part for part in reversed(path[:-1]) if isinstance(part, str)), "")
    if any(_TAG_KEY.fullmatch(key) for key in siblings):
        return len(siblings) <= _SMALL
    return above.lower().endswith("image")


def _scalar(scalar: yaml.Scalar) -> Any:
    if scalar.is_null:
        return None
    if scalar.is_string:
        return scalar.value
    try:
        value = pyyaml.safe_load(scalar.raw)
    except pyyaml.YAMLError:
        return scalar.value
    return value if isinstance(value, bool | int | float) else scalar.value
