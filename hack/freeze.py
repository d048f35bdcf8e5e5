"""The program with its Python inside: a folder that runs on a machine without Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hack import stamps

FROZEN = Path("build/frozen/airgap")
_SOURCES = ("shared", "plugins")
_RECIPE = ("hack/airgap.spec", "hack/launcher.py", "hack/freeze.py", "requirements/dev.txt")


def freeze() -> Path:
    """Build the folder and return it; its program is `airgap`. Nothing happens when the sources are as they were.

    Raises:
        SystemExit: PyInstaller failed; its own words stand above.
    """
    sources = sorted(str(path) for room in _SOURCES for path in Path(room).rglob("*.py"))
    digest = stamps.digest_of(*sources, *_RECIPE, more="\n".join([*sources, sys.version]))
    stamp = FROZEN.parent / "stamp"
    if not (FROZEN.is_dir() and stamps.is_current(stamp, digest)):
        stamp.unlink(missing_ok=True)
        _run_pyinstaller()
        stamps.leave(stamp, digest)
    return FROZEN


def _run_pyinstaller() -> None:
    # A fixed hash seed and clock: the same sources give the same bytes.
    environment = {**os.environ, "PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1577836800"}
    places = ["--distpath", str(FROZEN.parent), "--workpath", "build/pyinstaller"]
    options = ["--noconfirm", "--clean", "--log-level", "ERROR", *places, "hack/airgap.spec"]
    command = [sys.executable, "-m", "PyInstaller", *options]
    if subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL).returncode:
        sys.exit("error: PyInstaller failed")
