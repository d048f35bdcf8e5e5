"""Values set in a values file: what is there is changed in place, what is not is added in the file's own style."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from airgap.documents import charts
from airgap.documents.edits import Edit, apply, replace
from airgap.documents.yaml import Mapping as YamlMapping
from airgap.documents.yaml import Node, Scalar, decode, plain
from airgap.errors import DocumentError, InvalidInput

Path = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w./-]*")
_PLAIN_TEXT = re.compile(r"[A-Za-z][\w./:@-]*[\w]|[A-Za-z]")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def set_values(data: bytes, settings: Mapping[Path, str | bool], name: str) -> bytes:
    """The file with `settings` in it; every byte that need not change stays.

    Raises:
        InvalidInput: a path leads through something that is no mapping, or a list that is not there.
        DocumentError: the file cannot be read.
    """
    root = charts.values_in(data, name)
    if root is None:
        return data + (b"" if not data or data.endswith(b"\n") else b"\n") + dump(_nested(settings)).encode()
    edits: list[Edit] = []
    missing: dict[Path, str | bool] = {}
    for path, value in settings.items():
        node = root.at(*path)
        if isinstance(node, Scalar):
            edits.append(_setting(node, value))
        else:
            missing[path] = value
    text = decode(data, name)
    edits += _insertions(root, text, _nested(missing), name)
    after = apply(data, _joined(edits))
    _check_only(root, after, settings, name)
    return after


def _check_only(before: YamlMapping, after: bytes, settings: Mapping[Path, str | bool], name: str) -> None:
    """Read the result again: the settings are in it, and nothing else has changed, as through an anchor it might.

    Raises:
        InvalidInput: something else would change too.
    """
    wanted = plain(before)
    for path, value in settings.items():
        _put(wanted, path, str(value).lower() if isinstance(value, bool) else value)
    try:
        root = charts.values_in(after, name)
        is_right = root is not None and plain(root) == wanted
    except DocumentError:
        is_right = False
    if not is_right:
        shown = ", ".join(".".join(map(str, path)) for path in list(settings)[:3])
        raise InvalidInput(
            f"`{name}`: {shown} cannot be set without changing other values, such as those that share an anchor",
            hint="leave the chart as it is and write values for it: --values-only FILE",
        )


def _put(tree: Any, path: Path, value: str) -> None:
    for part in path[:-1]:
        inner = tree.get(part) if isinstance(tree, dict) else tree[part]
        if not isinstance(inner, dict | list):
            tree[part] = inner = {}
        tree = inner
    tree[path[-1]] = value


def dump(tree: Mapping[str, Any]) -> str:
    """A mapping as YAML in block style, texts quoted only where they must be."""
    return "".join(f"{line}\n" for line in _lines(tree))


def _setting(node: Scalar, value: str | bool) -> Edit:
    if isinstance(value, bool):
        return Edit(node.start, node.end, str(value).lower())
    return replace(node, value)


def _nested(settings: Mapping[Path, str | bool]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in settings.items():
        node = tree
        if not all(isinstance(part, str) for part in path):
            raise InvalidInput(f"{path!r} leads into a list that the values file does not have")
        for part in path[:-1]:
            node = node.setdefault(str(part), {})
        node[str(path[-1])] = value
    return tree


def _insertions(mapping: YamlMapping, text: str, tree: Mapping[str, Any], name: str) -> Iterable[Edit]:
    absent: dict[str, Any] = {}
    for key, value in tree.items():
        node = mapping.get(key)
        if node is None:
            absent[key] = value
        elif isinstance(node, YamlMapping) and isinstance(value, dict):
            yield from _insertions(node, text, value, name)
        elif isinstance(node, Scalar) and node.is_null and isinstance(value, dict):
            yield from _below(mapping, node, text, key, value)
        else:
            raise InvalidInput(f"{name}:{node.line}: `{key}` is no mapping, so nothing can be set below it")
    if absent:
        yield _flow(mapping, text, absent) if text[mapping.start] == "{" else _block(mapping, text, absent)


def _flow(mapping: YamlMapping, text: str, absent: Mapping[str, Any]) -> Edit:
    """`{a: 1}` becomes `{new: x, a: 1}`."""
    inner = ", ".join(f"{_key(key)}: {_flow_value(value)}" for key, value in absent.items())
    return Edit(mapping.start + 1, mapping.start + 1, inner + (", " if mapping.items else ""))


def _block(mapping: YamlMapping, text: str, absent: Mapping[str, Any]) -> Edit:
    """New keys go on lines of their own after the mapping's last, indented as its keys are."""
    own = [(key, value) for key, value in mapping.items if mapping.start <= key.start < mapping.end]
    if not own:
        raise InvalidInput(
            f"a mapping that has only what another gives it cannot take {', '.join(absent)}",
            hint="leave the chart as it is and write values for it: --values-only FILE",
        )
    key, value = max(own, key=lambda pair: pair[0].start)
    end = _end_of_line(text, max(key.end, _end_of(value, key)))
    return _added(text, end, absent, key.column - 1)


def _below(mapping: YamlMapping, node: Scalar, text: str, key: str, value: Mapping[str, Any]) -> Iterable[Edit]:
    """`key:` with nothing behind it, or `key: ~`, gets a mapping; a comment behind it stays."""
    if text[mapping.start] == "{":
        yield Edit(node.start, node.end, f"{' ' if text[node.start - 1] == ':' else ''}{_flow_value(value)}")
        return
    name = next(item for item, _ in mapping.items if item.value == key)
    if node.end > node.start:
        yield Edit(text.index(":", name.end) + 1, node.end, "")
    yield _added(text, _end_of_line(text, node.end), value, name.column - 1 + 2)


def _joined(edits: Iterable[Edit]) -> list[Edit]:
    """Additions at one place become one, in the order given: what belongs to an inner mapping comes first."""
    result: dict[tuple[int, int], Edit] = {}
    for edit in edits:
        place = (edit.start, edit.end)
        known = result.get(place)
        joins = known is not None and known != edit and edit.start == edit.end
        result[place] = Edit(*place, known.text + edit.text) if known is not None and joins else edit
    return list(result.values())


def _added(text: str, end: int, absent: Mapping[str, Any], indent: int) -> Edit:
    newline = _newline(text)
    lines = "".join(newline + " " * indent + line for line in _lines(absent))
    return Edit(end, end, lines)


def _end_of(node: Node, key: Scalar) -> int:
    """The end of a value that is written behind its key; an alias's is elsewhere and does not count."""
    if not key.end <= node.start:
        return key.end
    if isinstance(node, Scalar):
        end = node.end
        while end > node.start and node.text[end - 1] in "\r\n ":
            end -= 1
        return end
    if key.text[node.start] in "[{":
        return node.end
    if isinstance(node, YamlMapping):
        inner = ((k, v) for k, v in node.items if node.start <= k.start < node.end)
        return max((max(k.end, _end_of(v, k)) for k, v in inner), default=key.end)
    return max((_end_of(item, key) for item in node.items if node.start <= item.start), default=key.end)


def _end_of_line(text: str, position: int) -> int:
    match = re.compile(r"[^\r\n]*").match(text, position)
    return match.end() if match else position


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _lines(tree: Mapping[str, Any], indent: int = 0) -> Iterable[str]:
    for key, value in tree.items():
        start = f"{' ' * indent}{_key(key)}:"
        if isinstance(value, Mapping) and value:
            yield start
            yield from _lines(value, indent + 2)
        elif isinstance(value, list) and value:
            yield start
            for item in value:
                yield f"{' ' * indent}  - {_flow_value(item)}"
        else:
            yield f"{start} {_flow_value(value)}"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS else json.dumps(key, ensure_ascii=False)


def _flow_value(value: Any) -> str:
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_flow_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
