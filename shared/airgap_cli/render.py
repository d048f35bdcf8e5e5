"""Answers on stdout: tables, JSON, YAML and plain names, all from the same rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from airgap_cli.words import escape

API_VERSION = "airgap.dev/v1"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns as kubectl does: two spaces or more between, the last column ragged."""
    lines = [list(header), *([escape(cell) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        typer.echo("   ".join(cells).rstrip())


def document(kind: str, items: Iterable[Mapping[str, Any]], output: str, **more: Any) -> None:
    """Print a document with `apiVersion`, `kind` and `items`, in JSON or YAML; empty is a document with no items."""
    value = {"apiVersion": API_VERSION, "kind": kind, **more, "items": list(items)}
    if output == "yaml":
        import yaml

        yaml.safe_dump(value, sys.stdout, sort_keys=False, allow_unicode=True)
        return
    text = json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(value, indent=2)  # a file name that is no UTF-8 must not make the document none
    typer.echo(text)


def names(values: Iterable[str]) -> None:
    """Print a name a line, for pipes."""
    for value in values:
        typer.echo(escape(value))


def say(text: str = "") -> None:
    """Print words for people, on stderr: data alone goes to stdout."""
    typer.echo("\n".join(escape(line) for line in text.split("\n")), err=True)
