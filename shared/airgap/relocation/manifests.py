"""Manifests that point at the registry inside: the images' names are edited, every other byte stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from airgap.discovery.findings import Place, Problem
from airgap.discovery.manifests import occurrences
from airgap.discovery.occurrences import Occurrence, Occurrences, Piece, Role
from airgap.documents.edits import Edit, apply
from airgap.errors import InvalidInput
from airgap.references import Reference
from airgap.relocation.policy import Relocation


@dataclass(frozen=True, slots=True)
class RelocatedText:
    """A file before and after.

    Attributes:
        source: how the user names it.
        before: its bytes.
        after: its bytes with every image pointed at the target.
        mapping: the images found, and what each became.
        outside: what still points elsewhere or could not be examined, and why.
    """

    source: str
    before: bytes
    after: bytes
    mapping: Mapping[Reference, Reference]
    outside: tuple[Problem, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether a single byte differs."""
        return self.before != self.after


def relocate(data: bytes, source: str, relocation: Relocation) -> RelocatedText:
    """Point every image in the documents of a file at the target of `relocation`.

    Nothing but the images' names changes: quotes, comments, order, anchors and line ends stay. The result is examined
    again; an image that still points elsewhere is in `outside`.

    Raises:
        InvalidInput: two images would get one name.
    """
    found = occurrences(data, source)
    mapping = relocation.mapping(item.finding.reference for item in found.items)
    edits, refused = _collect(found.items, mapping)
    after = apply(data, edits)
    left = _examined(after, found, relocation) if edits else _left(found.items, relocation)
    reasons = {problem.place: problem for problem in (*left, *refused)}
    return RelocatedText(source, data, after, mapping, (*found.problems, *reasons.values()))


def edits_of(occurrence: Occurrence, target: Reference) -> tuple[Edit, ...]:
    """The changes that turn an occurrence into `target`.

    Raises:
        InvalidInput: the text around it cannot hold the new name.
    """
    if target == occurrence.finding.reference:  # `nginx` stays `nginx`
        return ()
    wanted = _texts(occurrence, target)
    return tuple(
        piece.spot.edit(text) for piece, text in zip(occurrence.pieces, wanted, strict=True) if text != piece.spot.text
    )


def _collect(
    items: Iterable[Occurrence], mapping: Mapping[Reference, Reference]
) -> tuple[tuple[Edit, ...], tuple[Problem, ...]]:
    """All edits, and the occurrences that cannot be edited because they share a text with one that wants another."""
    edits: dict[tuple[int, int], Edit] = {}
    refused: list[Problem] = []
    for item in items:
        try:
            wanted = edits_of(item, mapping[item.finding.reference])
        except InvalidInput as error:
            refused.append(Problem(item.finding.place, error.message))
            continue
        if any(edits.get((edit.start, edit.end), edit) != edit for edit in wanted):
            refused.append(Problem(item.finding.place, "shares a part of its name with an image that goes elsewhere"))
            continue
        edits.update({(edit.start, edit.end): edit for edit in wanted})
    return tuple(edits.values()), tuple(refused)


def _examined(data: bytes, before: Occurrences, relocation: Relocation) -> tuple[Problem, ...]:
    """What the changed file still has outside; it must hold as many images as before, or it reads differently."""
    after = occurrences(data, before.source)
    left = _left(after.items, relocation)
    if len(after.items) == len(before.items):
        return left
    reason = f"{len(before.items)} images were found before the change and {len(after.items)} after it"
    return (*left, Problem(Place(before.source, ""), reason))


def _left(items: Iterable[Occurrence], relocation: Relocation) -> tuple[Problem, ...]:
    findings = (item.finding for item in items)
    return tuple(
        Problem(finding.place, f"`{finding.written}` points elsewhere")
        for finding in findings
        if not relocation.covers(finding.reference)
    )


def _texts(occurrence: Occurrence, target: Reference) -> Iterator[str]:
    """What each piece should say for the whole to be `target`."""
    source = occurrence.finding.reference
    roles = {piece.role: piece for piece in occurrence.pieces}
    names = dict(_names(roles, target))
    for piece in occurrence.pieces:
        if piece.role is Role.REFERENCE:
            yield target.name + _suffix(occurrence.finding.written, source, target)
        elif piece.role is Role.TAG:
            yield _tag(piece, Role.DIGEST in roles, source, target)
        elif piece.role is Role.DIGEST:
            yield piece.spot.text if target.digest in (source.digest, None) else str(target.digest)
        else:
            yield names[piece.role]


def _suffix(written: str, source: Reference, target: Reference) -> str:
    """Tag and digest as they were written; others only where the target has others."""
    tagged = ":" in written.partition("@")[0].rpartition("/")[2]
    tag = f":{target.tag}" if target.tag and (tagged or target.tag != source.tag) else ""
    return tag + (f"@{target.digest}" if target.digest else "")


def _tag(piece: Piece, has_digest: bool, source: Reference, target: Reference) -> str:
    text = piece.spot.text
    if text.startswith("sha256:"):
        return target.digest or text
    tag = target.tag if target.tag and target.tag != source.tag else text
    added = target.digest and target.digest != source.digest and not has_digest
    return f"{tag}@{target.digest}" if added else tag


def _names(roles: Mapping[Role, Piece], target: Reference) -> Iterator[tuple[Role, str]]:
    """The target's name, divided as the source's is: the last piece keeps its number of path components."""
    named = [role for role in (Role.REGISTRY, Role.REPOSITORY, Role.IMAGE) if role in roles]
    components = target.name.split("/")
    if named and named[0] is Role.REGISTRY and "/" not in roles[Role.REGISTRY].spot.text.strip("/"):
        yield Role.REGISTRY, _edged(roles[Role.REGISTRY], components[:1])
        named, components = named[1:], components[1:]
    while named:
        role = named.pop()
        text = roles[role].spot.text.strip("/")
        count = len(components) if not named else min(text.count("/") + 1, len(components) - len(named))
        yield role, _edged(roles[role], components[len(components) - count :])
        components = components[: len(components) - count]


def _edged(piece: Piece, components: list[str]) -> str:
    """Path components joined, with the slashes that the piece has at its ends."""
    text = piece.spot.text
    return ("/" if text.startswith("/") else "") + "/".join(components) + ("/" if text.endswith("/") else "")
