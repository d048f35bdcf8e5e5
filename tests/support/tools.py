"""The real programs that tests run: helm 4, helm 3, kubectl, our own scripts. A missing one fails, it skips nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hack.debian import PROGRAMS, apt_line, find

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent


def require(name: str) -> str:
    """The path of a program; the test fails with what to install when it is not there."""
    for folder in (SCRIPTS, ROOT / ".tools" / "bin"):
        if (folder / name).is_file():
            return str(folder / name)
    path = find(name)
    if path is None:
        line = apt_line([PROGRAMS[name]]) if name in PROGRAMS else "make setup"
        pytest.fail(f"{name} is not installed; type: {line}", pytrace=False)
    return path


@pytest.fixture(scope="session")
def scripts() -> Path:
    """The folder of our console scripts."""
    return SCRIPTS


@pytest.fixture(scope="session")
def helm() -> str:
    """Helm 4."""
    return require("helm")


@pytest.fixture(scope="session")
def helm3() -> str:
    """Helm 3."""
    return require("helm3")


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The real kubectl."""
    return require("kubectl")
