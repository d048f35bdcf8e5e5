"""What a user points at when asking for images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airgap.adapters.rendering import Rendering


@dataclass(frozen=True)
class Sources:
    """Manifests, charts and plain names, as the user typed them; `-` is standard input.

    Attributes:
        fetched: chart → where it lies on this machine, of charts that were fetched before.
        piped: standard input, where it was read before.
    """

    manifests: tuple[str, ...] = ()
    recursive: bool = False
    charts: tuple[str, ...] = ()
    rendering: Rendering = field(default_factory=Rendering)
    images: tuple[str, ...] = ()
    image_files: tuple[str, ...] = ()
    fetched: Mapping[str, str] = field(default_factory=dict)
    piped: bytes | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was pointed at: an error, never an empty answer."""
        return not (self.manifests or self.charts or self.images or self.image_files)
