"""What a user points at when asking for images."""

from __future__ import annotations

from dataclasses import dataclass, field

from airgap.adapters.rendering import Rendering


@dataclass(frozen=True)
class Sources:
    """Manifests, charts and plain names, as the user typed them; `-` is standard input."""

    manifests: tuple[str, ...] = ()
    recursive: bool = False
    charts: tuple[str, ...] = ()
    rendering: Rendering = field(default_factory=Rendering)
    images: tuple[str, ...] = ()
    image_files: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was pointed at: an error, never an empty answer."""
        return not (self.manifests or self.charts or self.images or self.image_files)
