"""How long `kubectl-airgap` and `helm-relocate` take to say something: the median of ten, as a person waits for it."""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

RUNS = 10
LIMITS = {"--version": 0.12, "--help": 0.2}
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    for folder in ("shared", "plugins"):  # pip compiles what it installs; what is being worked on is not compiled
        compileall.compile_dir(ROOT / folder, quiet=1)
    slow = [_measure(program, flag) for program in ("kubectl-airgap", "helm-relocate") for flag in LIMITS]
    return 1 if any(slow) else 0


def _measure(program: str, flag: str) -> bool:
    path = Path(sysconfig.get_path("scripts"), program)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    _seconds(path, flag, environment)
    middle = statistics.median(_seconds(path, flag, environment) for _ in range(RUNS))
    verdict = "ok" if middle <= LIMITS[flag] else "TOO SLOW"
    print(f"{program + ' ' + flag:<28} {middle * 1000:6.0f} ms   at most {LIMITS[flag] * 1000:.0f} ms   {verdict}")
    return middle > LIMITS[flag]


def _seconds(path: Path, flag: str, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run([path, flag], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
