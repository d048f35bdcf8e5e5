"""Where exactly an image is written, so that it can be changed there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airgap.discovery.findings import Discovery, Finding, Problem
from airgap.documents import embedded
from airgap.documents.edits import Edit, replace_span
from airgap.documents.yaml import Scalar


@dataclass(frozen=True, slots=True)
class Spot:
    """Some characters of a value, which may itself be written inside other values.

    Attributes:
        scalar: the value.
        start: offset in what it says.
        end: offset after the last character.
        outer: the values it is written in, the nearest first.
    """

    scalar: Scalar
    start: int
    end: int
    outer: tuple[Scalar, ...] = ()

    @property
    def text(self) -> str:
        """What stands there."""
        return self.scalar.value[self.start : self.end]

    @property
    def line(self) -> int:
        """The line of the file, from 1."""
        scalar, offset = self.scalar, self.start
        for outer in self.outer:
            scalar, offset = outer, embedded.offset_of(scalar, offset)
        return embedded.line_of(scalar, offset)

    def edit(self, text: str) -> Edit:
        """Put `text` there, in the file itself.

        Raises:
            InvalidInput: one of the values around it cannot hold the text.
        """
        edit = replace_span(self.scalar, self.start, self.end, text)
        for outer in self.outer:
            edit = embedded.lift(outer, edit)
        return edit


class Role(StrEnum):
    """Which part of an image's name stands at a spot."""

    REFERENCE = "reference"
    REGISTRY = "registry"
    REPOSITORY = "repository"
    IMAGE = "image"
    TAG = "tag"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class Piece:
    """One of the places that make an image together."""

    role: Role
    spot: Spot


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A finding and the pieces of text that make it."""

    finding: Finding
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Everything found in one file."""

    source: str
    items: tuple[Occurrence, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def discovery(self) -> Discovery:
        """The same without the places to edit."""
        return Discovery(tuple(item.finding for item in self.items), self.problems)
