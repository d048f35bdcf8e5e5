"""YAML and JSON with positions: what every value says, and exactly where it is written.

Every scalar stays text: in `tag: 1.10` the tag is `1.10` and not a number, in `country: NO` it is `NO`. Positions count
characters from the start of the file, a byte-order mark left out, so that `edits` can change a value in place.

PyYAML's parser does the reading. What bounds and forbids stands here, because a composed tree may be far larger than
its text: depth, nodes seen through aliases, duplicate keys, tags that ask for Python objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from airgap import limits
from airgap.documents.nodes import (
    Document,
    Mapping,
    Node,
    Path,
    Scalar,
    Sequence,
    path_text,
    plain,
    reads_as_string,
    walk,
)
from airgap.errors import DocumentError

try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # a PyYAML built without libyaml reads the same, ten times slower

    class _Parser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):  # type: ignore[no-redef]
        """The same interface in Python."""

        def __init__(self, stream: str) -> None:
            yaml.reader.Reader.__init__(self, stream)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)


__all__ = [
    "Document", "Mapping", "Node", "Part", "Path", "Scalar", "Sequence",
    "compose", "decode", "path_text", "plain", "read", "read_text", "reads_as_string", "split", "walk",
]  # fmt: skip

_BOM: Final = "\ufeff"
_START = re.compile(r"^(?:%.*\r?\n(?:[#%].*\r?\n|\r?\n){0,20})?---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:[ \t\r\n]+(?:#.*[\r\n]+[ \t\r\n]*)?|\Z|(?=[,\]}])))+")
# How JSON in ASCII writes characters beyond 16 bits; libyaml refuses it: read as `\ufffd`, length for length.
_SURROGATES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Part:
    """The text of one document (or of several that `...` ends), not yet read."""

    text: str = field(repr=False)  # of the whole file
    start: int
    end: int
    line: int
    name: str

    @property
    def body(self) -> str:
        """This document's own text."""
        return self.text[self.start : self.end]


def read(data: bytes, name: str, *, unique: bool = True) -> tuple[Document, ...]:
    """Read every document of a file.

    Args:
        data: UTF-8, with or without a byte-order mark, with any line ends.
        name: how errors call the file.
        unique: whether a key that stands twice in one mapping is an error; Helm, for one, takes the last.

    Raises:
        DocumentError: with `NAME:LINE:COLUMN`, for the first document that cannot be read.
    """
    return tuple(document for part in split(decode(data, name), name) for document in compose(part, unique=unique))


def read_text(text: str, name: str, *, unique: bool = True) -> tuple[Document, ...]:
    """`read` for what is text already, such as YAML inside a value."""
    return tuple(document for part in split(text, name) for document in compose(part, unique=unique))


def decode(data: bytes, name: str) -> str:
    """The text of a file without its byte-order mark.

    Raises:
        DocumentError: not UTF-8, or larger than `limits.YAML_FILE`.
    """
    if len(data) > limits.YAML_FILE:
        raise DocumentError(name, f"{len(data)} bytes, more than the {limits.YAML_FILE} that are read")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DocumentError(f"{name}:1:1", "this is UTF-16", hint="save it as UTF-8")
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").removeprefix(_BOM)
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
        place = f"{name}:{line}:{column}"
        raise DocumentError(place, f"byte 0x{data[error.start]:02x} is no UTF-8", hint="save it as UTF-8") from error


def split(text: str, name: str) -> Iterator[Part]:
    """The documents of a file, not yet read: one that is broken spoils no other, one that is not wanted costs nothing.

    `---` at the start of a line ends a document wherever it stands, in block and quoted scalars too (YAML 1.2, 9.1.2).

    Raises:
        DocumentError: more than `limits.DOCUMENTS`.
    """
    if text.count("\n---") > limits.DOCUMENTS:
        raise DocumentError(name, f"more than {limits.DOCUMENTS} documents")
    start, line = 0, 1
    for match in _START.finditer(text):
        if match.start() > start:
            yield Part(text, start, match.start(), line, name)
            line += text.count("\n", start, match.start())
            start = match.start()
    if start < len(text):
        yield Part(text, start, len(text), line, name)


def compose(part: Part, *, unique: bool = True) -> tuple[Document, ...]:
    """Read the documents of one part.

    Raises:
        DocumentError: with the position; a text that is a template not yet rendered is called that.
    """
    if part.end - part.start < 8 and part.body.strip() in ("", "---"):
        return (Document(None, part.line),)
    try:
        return tuple(_Composer(part, unique).documents())
    except yaml.reader.ReaderError as error:
        raise _unreadable(part) from error
    except yaml.MarkedYAMLError as error:
        if "character escape" in str(error.problem) and _SURROGATES.search(part.body):
            return compose(replace(part, text=_SURROGATES.sub(r"\\ufffd\\ufffd", part.text)), unique=unique)
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        raise _refusal(part, line, column, (error.problem or str(error)).replace("\n", " ")) from error


def _unreadable(part: Part) -> DocumentError:
    match = _UNPRINTABLE.search(part.body)
    offset = match.start() if match else 0
    before = part.body[:offset]
    code = ord(part.body[offset]) if match else 0
    return _refusal(
        part, before.count("\n"), len(before.rpartition("\n")[2]), f"the character U+{code:04X} is not allowed in YAML"
    )


def _refusal(part: Part, line: int, column: int, reason: str) -> DocumentError:
    """An error at a position of the part, both from 0."""
    if (found := part.body.find("{{")) >= 0:
        place = f"{part.name}:{part.line + part.body.count(chr(10), 0, found)}"
        return DocumentError(place, "this is a template that was not rendered", hint="use --chart, with --values")
    return DocumentError(f"{part.name}:{part.line + line}:{column + 1}", reason)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come."""

    event: Any
    children: list[Node]
    before: int  # nodes counted when it began


class _Composer:
    """Builds nodes from the parser's events, on a stack of its own: no depth of input can exhaust Python's."""

    def __init__(self, part: Part, unique: bool) -> None:
        self.part = part
        self.text, self.start, self.line = part.text, part.start, part.line
        self.unique = unique
        self.parser = _Parser(part.body)
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.unfinished: set[str] = set()
        self.count = 0  # nodes, those behind aliases counted again at each use

    def documents(self) -> Iterator[Document]:
        while not isinstance(event := self.parser.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors.clear()
                root = self.tree()
                empty = isinstance(root, Scalar) and root.is_null
                yield Document(None if empty else root, root.line)

    def tree(self) -> Node:
        stack: list[_Open] = []
        while True:
            event = self.parser.get_event()
            kind = type(event)
            self.count += 1
            if kind is yaml.ScalarEvent:
                node: Node = self.scalar(event)
            elif kind is yaml.AliasEvent:
                node = self.aliased(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                stack.append(self.opened(event, len(stack)))
                continue
            else:
                node = self.closed(stack.pop(), event)
            if not stack:
                return node
            stack[-1].children.append(node)

    def opened(self, event: Any, depth: int) -> _Open:
        if depth >= limits.YAML_DEPTH:
            raise self.refusal(event.start_mark, f"nested too deep: more than {limits.YAML_DEPTH} levels")
        if event.anchor:
            self.unfinished.add(event.anchor)
        return _Open(event, [], self.count)

    def closed(self, opened: _Open, end: Any) -> Node:
        event = opened.event
        mark = event.start_mark
        tag = self.tag_of(event) if event.tag else ""
        start, stop = self.start + mark.index, self.start + end.end_mark.index
        place = (start, stop, self.line + mark.line, mark.column + 1, tag)
        node: Node
        if isinstance(event, yaml.SequenceStartEvent):
            node = Sequence(tuple(opened.children), *place)
        else:
            node = Mapping(self.pairs(opened), *place)
        if event.anchor:
            self.unfinished.discard(event.anchor)
            self.anchors[event.anchor] = (node, self.count - opened.before)
        return node

    def scalar(self, event: Any) -> Scalar:
        mark = event.start_mark
        start, end = self.start + mark.index, self.start + event.end_mark.index
        line, tag = self.line + mark.line, ""
        if event.anchor or event.tag:
            tag = self.tag_of(event)
            first, start = start, min(self.after_properties(start), end)
            line += self.text.count("\n", first, start)
        node = Scalar(event.value, event.style or "", start, end, line, mark.column + 1, self.text, tag)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        return node

    def after_properties(self, start: int) -> int:
        match = _PROPERTIES.match(self.text, start)
        return match.end() if match else start

    def aliased(self, event: Any) -> Node:
        if event.anchor in self.unfinished:
            raise self.refusal(event.start_mark, f"the alias `*{event.anchor}` refers to what it stands in")
        if event.anchor not in self.anchors:
            raise self.refusal(event.start_mark, f"the alias `*{event.anchor}` has no anchor before it")
        node, size = self.anchors[event.anchor]
        self.count += size
        if self.count > limits.YAML_NODES:
            raise self.refusal(event.start_mark, f"alias expansion limit: more than {limits.YAML_NODES} nodes")
        return node

    def tag_of(self, event: Any) -> str:
        tag = event.tag or ""
        if "python/" in tag:
            raise self.refusal(event.start_mark, f"the tag {tag!r} asks for a Python object", hint="remove the tag")
        return tag

    def pairs(self, opened: _Open) -> tuple[tuple[Scalar, Node], ...]:
        keys, values = opened.children[::2], opened.children[1::2]
        own: list[tuple[Scalar, Node]] = []
        merged: list[Node] = []
        seen: set[str] = set()
        for key, value in zip(keys, values, strict=True):
            if not isinstance(key, Scalar):
                raise self.refusal_at(key, "a key that is a list or a mapping")
            if key.value == "<<" and not key.style:
                merged.append(value)
                continue
            if key.value in seen:
                if self.unique:
                    raise self.refusal_at(key, f"the key {key.value!r} stands twice in one mapping")
                own = [pair for pair in own if pair[0].value != key.value]
            seen.add(key.value)
            own.append((key, value))
        return (*own, *self.merged(merged, seen)) if merged else tuple(own)

    def merged(self, values: list[Node], seen: set[str]) -> Iterator[tuple[Scalar, Node]]:
        """What `<<` brings in: own keys win, then earlier mappings (yaml.org/type/merge.html)."""
        for value in values:
            for source in value.items if isinstance(value, Sequence) else (value,):
                if not isinstance(source, Mapping):
                    raise self.refusal_at(value, "`<<` wants a mapping")
                for key, node in source.items:
                    if key.value not in seen:
                        seen.add(key.value)
                        yield key, node

    def refusal_at(self, node: Node | Any, reason: str) -> DocumentError:
        return _refusal(self.part, node.line - self.part.line, node.column - 1, reason)

    def refusal(self, mark: Any, reason: str, *, hint: str = "") -> DocumentError:
        error = _refusal(self.part, mark.line, mark.column, reason)
        return DocumentError(error.place, error.reason, hint=hint) if hint else error
