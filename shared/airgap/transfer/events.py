"""What a transfer tells while it runs. The plugin draws it; nothing here prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    """The work is known: so many bytes in so many pieces, so many bytes found in place already."""

    bytes: int
    pieces: int
    present: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """So many bytes more have arrived."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    """A piece is finished; `what` names it for people."""

    what: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know, though the work goes on."""

    text: str


Event = Planned | Moved | Done | Note
Observer = Callable[[Event], None]
"""Called from several threads; must be quick."""


def silent(_event: Event) -> None:
    """An observer that does not look."""
