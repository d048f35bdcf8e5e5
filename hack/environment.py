"""The virtual environment: exactly what requirements/dev.txt locks, and the project itself, editable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hack import stamps

VENV = Path(".venv")
_LOCK = "requirements/dev.txt"


def prepare() -> None:
    """Make or refresh `.venv`; nothing happens when lock, project and Python are as they were.

    Raises:
        SystemExit: pip failed; its own words stand above.
    """
    stamp = VENV / "stamp"
    digest = stamps.digest_of(_LOCK, "pyproject.toml", more=sys.version)
    if stamps.is_current(stamp, digest):
        return
    print(f"installing {_LOCK} into {VENV}/", flush=True)
    if not (VENV / "bin" / "pip").exists():
        _run(sys.executable, "-m", "venv", "--clear", str(VENV))
    _pip("--require-hashes", "-r", _LOCK)
    _pip("--no-deps", "--no-build-isolation", "-e", ".")
    stamps.leave(stamp, digest)


def _pip(*arguments: str) -> None:
    python = str(VENV / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"error: `{' '.join(command)}` ended with {done.returncode}")
