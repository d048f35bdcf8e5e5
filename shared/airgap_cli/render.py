"""Answers on stdout: tables, JSON, YAML and plain names, all from the same rows."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import typer

from airgap_cli.words import escape

API_VERSION = "airgap.dev/v1"
_SETTLED = 500
# What a terminal may obey or hide, where JSON and YAML would print it as it is.
_UNSAFE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, heading: bool = True) -> None:
    """Print aligned columns as kubectl does: two spaces or more between, the last column ragged.

    The first `_SETTLED` rows decide the widths; what comes after is printed as it comes, so that a list without end
    needs no memory.
    """
    lines: Iterator[list[str]] = ([escape(cell) or "-" for cell in row] for row in rows)
    if heading:
        lines = chain([list(header)], lines)
    first = list(islice(lines, _SETTLED))
    widths = [max((len(line[column]) for line in first), default=0) for column in range(len(header))]
    for line in chain(first, lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("   ".join(cells).rstrip() + "\n")


def document(kind: str, items: Iterable[Mapping[str, Any]], output: str, **more: Any) -> None:
    """Print a document with `apiVersion`, `kind` and `items`, in JSON or YAML; empty is a document with no items.

    Items are printed as they come. A value of `more` that is a function is called after the last of them.
    """
    head = {"apiVersion": API_VERSION, "kind": kind}
    tail = ((key, value() if callable(value) else value) for key, value in more.items())
    if output == "yaml":
        _yaml_document(head, items, tail)
    else:
        _json_document(head, items, tail)


def _json_document(
    head: Mapping[str, Any], items: Iterable[Mapping[str, Any]], tail: Iterable[tuple[str, Any]]
) -> None:
    write = sys.stdout.write
    write("{\n" + "".join(f'  "{key}": {_json(value)},\n' for key, value in head.items()) + '  "items": [')
    between = "\n    "
    for item in items:
        write(between + _json(item).replace("\n", "\n    "))
        between = ",\n    "
    write("]" if between[0] == "\n" else "\n  ]")
    for key, value in tail:
        write(f',\n  "{key}": ' + _json(value).replace("\n", "\n  "))
    write("\n}\n")


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
    return text if text.isascii() else _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _yaml_document(
    head: Mapping[str, Any], items: Iterable[Mapping[str, Any]], tail: Iterable[tuple[str, Any]]
) -> None:
    write = sys.stdout.write
    write(_yaml(head))
    is_empty = True
    for item in items:
        write("items:\n" * is_empty + _yaml([item]))
        is_empty = False
    write("items: []\n" * is_empty)
    for key, value in tail:
        write(_yaml({key: value}))


def _yaml(value: Any) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    plain = json.loads(json.dumps(value))  # enumerations as the strings they are
    text = str(yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=10_000))
    if text.isascii() or not _UNSAFE.search(text):
        return text
    return str(yaml.dump(plain, Dumper=dumper, sort_keys=False, width=10_000))


def names(values: Iterable[str]) -> None:
    """Print a name a line, for pipes."""
    for value in values:
        typer.echo(escape(value))


def foreign(text: str) -> None:
    """Print text that came from elsewhere: as it is into a file or a pipe, harmless on a terminal."""
    shown = "\n".join(escape(line) for line in text.split("\n")) if sys.stdout.isatty() else text
    sys.stdout.write(shown)
    sys.stdout.flush()


def say(text: str = "") -> None:
    """Print words for people, on stderr: data alone goes to stdout."""
    typer.echo("\n".join(escape(line) for line in text.split("\n")), err=True)
