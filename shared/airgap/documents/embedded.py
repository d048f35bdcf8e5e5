"""YAML and JSON inside a scalar: ConfigMap values, annotations, JSON in an environment variable."""

from __future__ import annotations

from airgap.documents.edits import Edit, replace_span
from airgap.documents.layout import spans
from airgap.documents.yaml import Document, Scalar, read_text


def read(outer: Scalar, name: str) -> tuple[Document, ...]:
    """The documents that a scalar's value holds; their offsets count from the start of the value.

    Raises:
        DocumentError: it is neither YAML nor JSON, such as a template for a program that fills it in later.
    """
    return read_text(outer.value, name, unique=False)


def lift(outer: Scalar, edit: Edit) -> Edit:
    """An edit of the value as an edit of the file; the outer quotes, escapes and indentation stay.

    Raises:
        InvalidInput: the outer scalar cannot hold it.
    """
    return replace_span(outer, edit.start, edit.end, edit.text)


def line_of(outer: Scalar, offset: int) -> int:
    """The line of the file, from 1, on which the character at `offset` of the value is written."""
    if outer.style == "|":
        return outer.line + 1 + outer.value.count("\n", 0, offset) + _blank_lines(outer)
    where = spans(outer)
    position = where[min(offset, len(where) - 1)][0] if where else outer.start
    return outer.line + outer.text.count("\n", outer.start, position)


def _blank_lines(outer: Scalar) -> int:
    """Lines between the key and the block's header, as after an anchor."""
    return 0 if outer.raw[:1] in "|>" else 1
