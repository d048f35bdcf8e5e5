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


def line_of(scalar: Scalar, offset: int) -> int:
    """The line of the file, from 1, on which the character at `offset` of the value is written."""
    if not offset and scalar.style not in ("|", ">"):
        return scalar.line
    if scalar.style == "|":
        return scalar.line + 1 + scalar.value.count("\n", 0, offset)
    return scalar.line + scalar.text.count("\n", scalar.start, offset_of(scalar, offset))


def offset_of(scalar: Scalar, offset: int) -> int:
    """Where in its text the character at `offset` of a scalar's value is written."""
    where = spans(scalar)
    if not where:
        return scalar.start
    return where[offset][0] if offset < len(where) else where[-1][1]
