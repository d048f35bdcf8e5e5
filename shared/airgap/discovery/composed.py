"""Images written as several keys of one mapping: registry, repository, tag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from airgap.discovery import rules
from airgap.discovery.occurrences import Role
from airgap.documents.yaml import Mapping, Node, Scalar, Sequence
from airgap.errors import InvalidReference
from airgap.references import Reference

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Composition:
    """An image, what each of its parts says, and the keys, as in `registry+repository+tag`."""

    reference: Reference
    written: str
    parts: tuple[tuple[Role, Scalar], ...]
    shape: str


def of(mapping: Mapping) -> Composition | None:
    """The image that the keys of a mapping make, if they make one."""
    keys = {key.value: value for key, value in mapping.items if isinstance(value, Scalar)}
    if not rules.PART_KEYS & keys.keys():
        return None
    found = {
        role: part
        for role, names in (
            (Role.REGISTRY, rules.REGISTRY_KEYS),
            (Role.REPOSITORY, rules.REPOSITORY_KEYS),
            (Role.IMAGE, rules.IMAGE_KEYS),
            (Role.TAG, rules.TAG_KEYS),
            (Role.DIGEST, rules.DIGEST_KEYS),
        )
        if (part := _first(keys, names)) is not None
    }
    return _composition(found, keys) if _is_plausible(found, keys) else None


def through_hub(mapping: Mapping) -> Iterator[Composition]:
    """Images written as Istio does: `hub` and `tag` in one mapping, bare names in others near it."""
    for _, common in mapping.items:
        if isinstance(common, Mapping) and common.text("hub") and common.text("tag"):
            for below in _mappings(mapping):
                if made := _below_hub(below, common):
                    yield made


def _below_hub(below: Mapping, common: Mapping) -> Composition | None:
    name = below.get("image")
    if not isinstance(name, Scalar) or not name.value or "/" in name.value or ":" in name.value:
        return None
    hub, tag = (below.get(key) if below.text(key) else common.get(key) for key in ("hub", "tag"))
    if not isinstance(hub, Scalar) or not isinstance(tag, Scalar):
        return None
    return _composition(
        {Role.REGISTRY: ("hub", hub), Role.IMAGE: ("image", name), Role.TAG: ("tag", tag)},
        {"hub": hub, "image": name, "tag": tag},
    )


def _mappings(node: Node) -> Iterator[Mapping]:
    if isinstance(node, Mapping):
        yield node
        for _, value in node.items:
            yield from _mappings(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _mappings(item)


Found = dict[Role, tuple[str, Scalar]]


def _first(keys: dict[str, Scalar], names: tuple[str, ...]) -> tuple[str, Scalar] | None:
    return next(((name, keys[name]) for name in names if name in keys and _says(keys[name])), None)


def _says(scalar: Scalar) -> bool:
    return bool(scalar.value) and not scalar.is_null


def _is_plausible(found: Found, keys: dict[str, Scalar]) -> bool:
    """Whether keys so common as `repository` and `version` speak of an image here."""
    if not (Role.TAG in found or Role.DIGEST in found):
        return False
    name = found.get(Role.IMAGE) or found.get(Role.REPOSITORY)
    if name is None or "://" in name[1].value or name[1].value[:1] in ("./@" if Role.REGISTRY not in found else ".@"):
        return False
    last = name[1].value.rpartition("/")[2]
    if Role.IMAGE in found:
        # A name with a tag of its own is whole; `version` beside it tells the operator something else.
        return ":" not in last and "@" not in last and not ("hub" in keys and Role.REGISTRY not in found)
    if Role.TAG in found and found[Role.TAG][0] == "version":
        return Role.REGISTRY in found
    return ("/" in name[1].value or Role.REGISTRY in found) and ":" not in last


def _composition(found: Found, keys: dict[str, Scalar]) -> Composition | None:
    names = [found[role][1].value.strip("/") for role in (Role.REGISTRY, Role.REPOSITORY, Role.IMAGE) if role in found]
    written = "/".join(names) + _suffix(found)
    try:
        reference = Reference.parse(written)
    except InvalidReference:
        return None
    if reference.registry in rules.NOT_REGISTRIES or reference.repository.endswith(rules.NOT_IMAGE_SUFFIXES):
        return None
    parts = tuple((role, scalar) for role, (_, scalar) in found.items())
    return Composition(reference, written, parts, "+".join(name for name, _ in found.values()))


def _suffix(found: Found) -> str:
    tag = found[Role.TAG][1].value if Role.TAG in found else ""
    digest = found[Role.DIGEST][1].value if Role.DIGEST in found else ""
    if tag.startswith("sha256:"):  # Tekton's charts
        tag, digest = "", digest or tag
    if _HEX.fullmatch(digest):  # Prometheus' resources
        digest = f"sha256:{digest}"
    return (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
