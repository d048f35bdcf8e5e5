"""To be filled by its owner."""

from __future__ import annotations

import shutil

import pytest


def require(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.fail(f"{name} is missing")
    return found
