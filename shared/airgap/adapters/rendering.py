"""How charts are rendered; apart from `helm.py`, so that flags can name it without starting anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rendering:
    """How charts are rendered: what the user would give to `helm template`."""

    version: str = ""
    values: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    namespace: str = ""
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
