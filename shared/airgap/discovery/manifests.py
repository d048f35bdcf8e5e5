"""Images in Kubernetes documents: raw manifests, rendered charts, and what is written inside their values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from airgap.discovery import composed, rules, strings
from airgap.discovery.findings import Certainty, Discovery, Finding, Place, Problem
from airgap.discovery.occurrences import Occurrence, Occurrences, Piece, Role, Spot
from airgap.discovery.strings import Hint
from airgap.documents import embedded, yaml
from airgap.documents.yaml import Document, Mapping, Node, Path, Scalar, Sequence, path_text
from airgap.errors import DocumentError, InvalidReference
from airgap.references import Reference


def find(data: bytes, source: str) -> Discovery:
    """Every image that the documents of a file need, and every document that could not be examined.

    Args:
        data: YAML or JSON, one document or many.
        source: how places call the file.
    """
    return occurrences(data, source).discovery


def occurrences(data: bytes, source: str) -> Occurrences:
    """`find`, with the exact text that makes each image, for those who change it."""
    walk = _Walk(source)
    try:
        text = yaml.decode(data, source)
        for part in yaml.split(text, source):
            walk.part(part)
    except DocumentError as error:
        walk.problem(error)
    return Occurrences(source, tuple(walk.found.values()), tuple(walk.problems))


@dataclass(frozen=True, slots=True)
class _Context:
    """Where the walk is: the object it is in, and the values it has gone into."""

    label: str = ""
    outer: tuple[Scalar, ...] = ()
    before: str = ""  # path to the value it has gone into
    hubs: bool = False


@dataclass(frozen=True, slots=True)
class _Image:
    """An image as its pieces make it."""

    reference: Reference
    written: str
    pieces: tuple[Piece, ...]
    shape: str = "string"


@dataclass
class _Walk:
    """Goes through the documents of one file and collects."""

    source: str
    found: dict[tuple[object, ...], Occurrence] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    claimed: set[tuple[int, ...]] = field(default_factory=set)  # texts that are a part of an image, and none alone

    def problem(self, error: DocumentError) -> None:
        line, _, column = error.place.removeprefix(f"{self.source}:").partition(":")
        where = f"column {column}: " if column else ""
        reason = f"{where}{error.reason}{f' ({error.hint})' if error.hint else ''}"
        self.problems.append(Problem(Place(self.source, "", int(line) if line.isdigit() else 0), reason))

    def part(self, part: yaml.Part) -> None:
        body = part.body
        if not _may_hold(body):
            return
        documents = self.composed(part)
        context = _Context(hubs="hub" in body)
        for document in documents:
            self.document(document, context)

    def composed(self, part: yaml.Part) -> tuple[Document, ...]:
        """The documents of a part; one with a key twice is reported, and searched all the same."""
        try:
            return yaml.compose(part)
        except DocumentError as error:
            self.problem(error)
        try:
            return yaml.compose(part, unique=False)
        except DocumentError:
            return ()

    def document(self, document: Document, context: _Context) -> None:
        if document.root is not None:
            self.object(document.root, (), context)

    def object(self, node: Node, path: Path, context: _Context) -> None:
        """One API object, or a list of them, or what has neither `kind` nor name."""
        if not isinstance(node, Mapping):
            self.node(node, path, context)
            return
        kind = node.text("kind")
        if kind in rules.SKIPPED_KINDS:
            return
        items = node.get("items")
        if kind.endswith("List") and isinstance(items, Sequence):
            for index, item in enumerate(items.items):
                self.object(item, (*path, "items", index), context)
            return
        label = _label(kind, node) or context.label
        context = replace(context, label=label)
        self.whole(node, path, context)
        for key, value in node.items:
            if key.value != "status" or not kind:
                self.member(node, key.value, value, (*path, key.value), context)

    def node(self, node: Node, path: Path, context: _Context) -> None:
        if isinstance(node, Mapping):
            self.whole(node, path, context)
            for key, value in node.items:
                self.member(node, key.value, value, (*path, key.value), context)
        elif isinstance(node, Sequence):
            self.sequence(node, path, context)
        else:
            self.text(node, path, strings.hint_of(_name(path)), context)

    def member(self, parent: Mapping, key: str, value: Node, path: Path, context: _Context) -> None:
        """One key of a mapping."""
        if not isinstance(value, Scalar):
            if key not in rules.SKIPPED_KEYS:
                self.node(value, path, context)
            return
        if key == "image" or key == "containerImage" or key == "reference":
            certainty = _certainty(path, context)
            if certainty is not None:
                self.image(value, path, certainty, context)
                return
        name = parent.text("name") or key if key == "value" else key
        if not _is_worth_reading(value.value, name) or key in rules.PROSE_KEYS or key in rules.SKIPPED_KEYS:
            return
        if _spot_key(value, context.outer) not in self.claimed:
            self.text(value, path, strings.hint_of(name), context)

    def sequence(self, node: Sequence, path: Path, context: _Context) -> None:
        arguments = path and path[-1] in rules.ARGUMENT_LISTS
        before = Hint.NONE
        for index, item in enumerate(node.items):
            here = (*path, index)
            if not isinstance(item, Scalar):
                self.node(item, here, context)
            elif arguments:
                before = self.argument(item, here, before, context)
            else:
                self.text(item, here, strings.hint_of(_name(path)), context)

    def argument(self, item: Scalar, path: Path, before: Hint, context: _Context) -> Hint:
        """One argument; answers what it promises about the next one."""
        text = item.value
        flag = rules.FLAG.fullmatch(text) if text[:1] == "-" else None
        if flag and flag["value"] is None:
            return strings.hint_of(flag["name"])
        if before and strings.image(text, before):
            self.text(item, path, before, context)
        elif ("/" in text or "image" in text.lower()) and not self.inside(item, path, context):
            self.spans(item, path, strings.argument(text), context)
        return Hint.NONE

    def text(self, scalar: Scalar, path: Path, hint: Hint, context: _Context) -> None:
        """A text anywhere: one image, or YAML or JSON, or lines with images in them."""
        text = scalar.value
        if reference := strings.image(text, hint):
            self.add(_string(reference, Spot(scalar, 0, len(text), context.outer)), path, context)
        elif not self.inside(scalar, path, context) and not _is_prose(path):
            self.spans(scalar, path, strings.whole_or_scan(text, hint), context)

    def spans(
        self, scalar: Scalar, path: Path, spans: Iterable[tuple[strings.Span, Reference]], context: _Context
    ) -> None:
        for (start, end), reference in spans:
            self.add(_string(reference, Spot(scalar, start, end, context.outer)), path, context)

    def inside(self, scalar: Scalar, path: Path, context: _Context) -> bool:
        """Go into a value that is YAML or JSON itself; False where it is not, or has nothing to find."""
        text = scalar.value
        if "\n" not in text.strip() and text.lstrip()[:1] not in ("{", "["):
            return False
        if next(strings.scan(text), None) is None and not rules.PARTS.search(text):
            return False
        try:
            documents = embedded.read(scalar, self.source)
        except DocumentError:
            return False
        roots = [document.root for document in documents if document.root is not None]
        if not roots or any(isinstance(root, Scalar) for root in roots):
            return False
        below = replace(
            context, outer=(scalar, *context.outer), before=f"{context.before}{path_text(path)} ", hubs="hub" in text
        )
        for root in roots:
            self.object(root, (), below)
        return True

    def image(self, scalar: Scalar, path: Path, certainty: Certainty, context: _Context) -> None:
        """A field that is an image by definition."""
        text = scalar.value
        if scalar.is_null or not text or text in rules.PLACEHOLDERS:
            return
        reference = strings.parsed(text)
        if reference is None:
            self.unparsed(scalar, path, context)
            return
        self.add(_string(reference, Spot(scalar, 0, len(text), context.outer)), path, context, certainty)

    def unparsed(self, scalar: Scalar, path: Path, context: _Context) -> None:
        """A field that must be an image and is none; inside a value, whoever reads that fills it in."""
        text = scalar.value
        if context.outer or "*" in text or "?" in text:  # a policy's pattern
            return
        if "{{ ." in text or "{{." in text:
            reason = f"{text!r} is a template that was not rendered (use --chart, with --values)"
        elif rules.TEMPLATE in text:
            reason = f"{text!r} is filled in later: name the images that it stands for with --image"
        else:
            reason = _why_not(text)
        self.problems.append(Problem(self.place(path, Spot(scalar, 0, 0), context), reason))

    def whole(self, node: Mapping, path: Path, context: _Context) -> None:
        """Images that several keys of `node` make together."""
        makes = [composed.of(node)] if len(node.items) > 1 else []
        if context.hubs:
            makes += composed.through_hub(node)
        for made in makes:
            if made is not None:
                pieces = tuple(Piece(role, Spot(part, 0, len(part.value), context.outer)) for role, part in made.parts)
                self.claimed.update(_spot_key(part, context.outer) for _, part in made.parts)
                self.add(_Image(made.reference, made.written, pieces, made.shape), path, context)

    def add(self, image: _Image, path: Path, context: _Context, certainty: Certainty = Certainty.LIKELY) -> None:
        """Keep a finding; the same text, met again on another way, is not kept twice unless it is surer now."""
        spots = [piece.spot for piece in image.pieces]
        key = tuple((spot.start, *_spot_key(spot.scalar, spot.outer)) for spot in spots)
        if context.outer:
            certainty = Certainty.LIKELY
        if key in self.found and certainty is Certainty.LIKELY:
            return
        place = self.place(path, spots[0], context)
        finding = Finding(image.reference, image.written, place, certainty, image.shape)
        self.found[key] = Occurrence(finding, image.pieces)

    def place(self, path: Path, spot: Spot, context: _Context) -> Place:
        return Place(self.source, f"{context.label} {context.before}{path_text(path)}".strip(), spot.line)


def _why_not(text: str) -> str:
    try:
        Reference.parse(text)
    except InvalidReference as error:
        return error.message
    return ""


def _is_worth_reading(text: str, name: str) -> bool:
    """What most values fail: a slash, or a tag where image is spoken of."""
    return "/" in text or ((":" in text or "=" in text) and "image" in f"{name} {text}".lower())


def _may_hold(body: str) -> bool:
    """Whether a document can name an image at all; one that cannot need not be read."""
    if rules.SCHEMA.search(body) and "\n..." not in body:
        return False
    return "image" in body or "image" in body.lower() or rules.FULL.search(body) is not None


def _spot_key(scalar: Scalar, outer: tuple[Scalar, ...]) -> tuple[int, ...]:
    """What tells one scalar of the file from all others."""
    return (scalar.start, *(around.start for around in outer))


def _string(reference: Reference, spot: Spot) -> _Image:
    return _Image(reference, spot.text, (Piece(Role.REFERENCE, spot),))


def _certainty(path: Path, context: _Context) -> Certainty | None:
    """How sure it is that the last key of `path`, one of `image`, `containerImage` and `reference`, is an image."""
    key = path[-1]
    listed = path[-3] if len(path) > 2 and isinstance(path[-2], int) else ""
    above = path[-2] if len(path) > 1 else ""
    if key == "reference":
        sure = above == "image" and len(path) > 3 and path[-4] == "volumes"
        return Certainty.CERTAIN if sure else None
    csv = context.label.partition("/")[0] == "ClusterServiceVersion"
    if key == "containerImage":
        return Certainty.CERTAIN if csv and above == "annotations" else None
    if listed in rules.CONTAINER_LISTS or (csv and listed == "relatedImages"):
        return Certainty.CERTAIN
    if listed in rules.CONTAINER_LIKE or above in rules.CONTAINER_LIKE:
        return Certainty.LIKELY
    return None


def _label(kind: str, node: Mapping) -> str:
    if not kind:
        return ""
    metadata = node.get("metadata")
    name = (metadata.text("name") or metadata.text("generateName")) if isinstance(metadata, Mapping) else ""
    return f"{kind}/{name}" if name else kind


def _name(path: Path) -> str:
    """The last key on a path."""
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _is_prose(path: Path) -> bool:
    """Whether a text is written for people: an annotation, unless it is one of those that list images."""
    return "annotations" in path[-2:-1] and "image" not in str(path[-1]).lower()
