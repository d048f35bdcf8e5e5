"""Images that a chart's values declare and that no render showed: judged by the shape of the values alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from airgap.discovery.chartvalues import Candidate, Leaf, Path, Tree, Values, is_reference, parsed, path_text
from airgap.discovery.tracing import Composition
from airgap.documents.charts import Chart

_REGISTRY = re.compile(r"registry|^hub$|host$", re.IGNORECASE)
_TAGS: Final = ("tag", "imageTag", "version")
_DIGESTS: Final = ("digest", "sha", "sha256")
_HEX = re.compile(r"[0-9a-f]{64}")


def declared(values: Values, marked: Sequence[Candidate], known: Collection[int]) -> Iterator[Composition]:
    """The images that candidates other than the `known` ones declare.

    An empty tag means the version of the application, as it does in nearly all charts.
    """
    indexes = {path: index for index, candidate in enumerate(marked) for path in candidate.paths}
    for index, candidate in enumerate(marked):
        if index in known or not candidate.text or _REGISTRY.search(candidate.key):
            continue
        for path in candidate.paths:
            owner = values.owner(path)
            if not owner.renders:
                continue
            parts = _parts(values, path, index, owner, indexes)
            text = "".join(part if isinstance(part, str) else marked[part].text for part in parts)
            if parts and "//" not in text and parsed(text) is not None:
                yield Composition(text, parts, f"values: {path_text(path)}", "", used=False)


def _parts(values: Values, path: Path, index: int, owner: Chart, indexes: dict[Path, int]) -> tuple[str | int, ...]:
    """What the image is made of that the value at `path` names; empty where it names none."""
    text = values.text(path)
    if is_reference(text):
        return (index,)
    siblings = values.at(path[:-1])
    if not isinstance(siblings, dict):
        return ()
    key = str(path[-1])
    if key == "repository" and _says(siblings.get("image")):
        return ()  # the namespace of the `image` beside it
    suffix = _suffix(siblings, key, owner)
    if not suffix or not _is_name(path, key, text):
        return ()
    start: list[str | int] = []
    for before in _before(siblings, key):
        place = (*path[:-1], before)
        if place in indexes:
            start += [indexes[place], "/"]
        else:
            start += [values.text(place) + "/"]
    return (*start, index, suffix)


def _before(siblings: dict[str, Tree], key: str) -> Iterator[str]:
    """The keys whose texts stand before the name: a registry, then a namespace."""
    registry = next((name for name in siblings if _REGISTRY.search(name) and _says(siblings[name])), "")
    if registry:
        yield registry
    if key == "image" and _says(siblings.get("repository")):
        yield "repository"


def _is_name(path: Path, key: str, text: str) -> bool:
    if key in ("repository", "image") or key.lower().endswith("image"):
        return True
    above = next((part for part in reversed(path[:-1]) if isinstance(part, str)), "")
    return key == "name" and (above.lower().endswith("image") or ("/" in text and "." in text.partition("/")[0]))


def _suffix(siblings: dict[str, Tree], key: str, owner: Chart) -> str:
    """Tag and digest as they follow the name, with `:` and `@`; empty where nothing says a version."""
    tags = (f"{key}Tag", f"{key.removesuffix('Image')}Tag", *_TAGS)
    present = [name for name in tags if name in siblings]
    tag = next((text for name in present if (text := _text(siblings[name]))), "")
    digest = next((text for name in _DIGESTS if (text := _text(siblings.get(name)))), "")
    if tag.startswith("sha256:"):
        tag, digest = "", tag
    if _HEX.fullmatch(digest):
        digest = f"sha256:{digest}"
    if not tag and not digest and present:
        tag = owner.app_version
    return (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def _text(leaf: Tree) -> str:
    return leaf.scalar.value if isinstance(leaf, Leaf) and not leaf.scalar.is_null else ""


def _says(leaf: Tree) -> bool:
    return bool(_text(leaf))
