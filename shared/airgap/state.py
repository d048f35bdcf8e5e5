"""Where we keep what should outlive a run and is nobody's input: the XDG state directory."""

from __future__ import annotations

import os
from pathlib import Path


def directory() -> Path:
    """`$XDG_STATE_HOME/airgap`, else `~/.local/state/airgap`; it may not be there yet."""
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (named if named.is_absolute() else _home() / ".local" / "state") / "airgap"


def _home() -> Path:
    """The home directory; a user that no list of users knows, as in some containers, has none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")
