"""What a document is made of: scalars, lists and mappings, each with its place in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_TEXT = re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?0o[0-7_]+|[yYnN]")  # to Go's readers, not to PyYAML
_STRING: Final = "tag:yaml.org,2002:str"
_STRING_TAGS: Final = frozenset({"", "!", _STRING})
_RESOLVER: Final = yaml.resolver.Resolver()

Path = tuple[str | int, ...]


class Scalar(NamedTuple):
    """One text as it is written. A tuple, because a file has a hundred thousand of them and frozen classes cost four.

    Attributes:
        value: what it says, never converted.
        style: `""` for plain, `'`, `"`, `|` or `>`.
        start: offset of its first character in `text`, after an anchor and a tag; of its quote if it has one.
        end: offset after its last character.
        line: from 1.
        column: from 1, of what `start` points at, or of the anchor or tag in front of it.
        text: the whole file it stands in.
        tag: as written out, such as `!Ref`; empty for nearly all.
    """

    value: str
    style: str
    start: int
    end: int
    line: int
    column: int
    text: str
    tag: str = ""

    def __repr__(self) -> str:
        return f"Scalar({self.value!r}, line={self.line}, column={self.column}, start={self.start}, end={self.end})"

    @property
    def raw(self) -> str:
        """As it is written, quotes included."""
        return self.text[self.start : self.end]

    @property
    def is_null(self) -> bool:
        """Whether YAML reads it as nothing: left out, `~` or `null`."""
        return not self.style and not self.tag and self.value in _NULLS

    @property
    def is_string(self) -> bool:
        """Whether YAML 1.1, or Go's readers, take it for a string: `"1.10"` is one, `1.10` and `NO` are none."""
        if self.style or self.tag:
            return self.tag in _STRING_TAGS
        return reads_as_string(self.value)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    start: int
    end: int
    line: int
    column: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in written order; what `<<` merges in follows after a mapping's own keys."""

    items: tuple[tuple[Scalar, Node], ...]
    start: int
    end: int
    line: int
    column: int
    tag: str = ""

    def get(self, key: str) -> Node | None:
        """The value of `key`, or None."""
        for name, value in self.items:
            if name.value == key:
                return value
        return None

    def text(self, key: str) -> str:
        """The value of `key` if it is a scalar and not null, else an empty text."""
        value = self.get(key)
        return value.value if isinstance(value, Scalar) and not value.is_null else ""

    def at(self, *path: str | int) -> Node | None:
        """What lies below a path of keys and indexes, or None."""
        node: Node | None = self
        for part in path:
            if isinstance(node, Mapping):
                node = node.get(str(part))
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return None
        return node


Node = Scalar | Mapping | Sequence


@dataclass(frozen=True, slots=True)
class Document:
    """One of the documents of a file; `root` is None for an empty one."""

    root: Node | None
    line: int = 1


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Scalar]]:
    """Every scalar that is a value, with its path; one behind an alias comes once for each way to it."""
    if isinstance(node, Scalar):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items:
            yield from walk(value, (*path, key.value))
    else:
        for index, item in enumerate(node.items):
            yield from walk(item, (*path, index))


def plain(node: Node | None) -> Any:
    """The same as Python's own types: dicts, lists, texts and None."""
    if isinstance(node, Mapping):
        return {key.value: plain(value) for key, value in node.items}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return None if node is None or node.is_null else node.value


def path_text(path: Path) -> str:
    """A path as people read it: `.spec.containers[0].image`, `.metadata.annotations["a.b/c"]`."""
    return "".join(_step(part) for part in path)


def reads_as_string(text: str) -> bool:
    """Whether an unquoted `text` is a string to YAML 1.1 and to Go's readers."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return bool(tag == _STRING and not _NOT_TEXT.fullmatch(text))


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if re.fullmatch(r"[\w-]+", part) else f'["{part}"]'
