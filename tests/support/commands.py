"""The commands as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, without its heading."""
        return [line.split("   ") for line in self.stdout.splitlines()[1:]]


def airgap(*arguments: str | Path, **environment: str) -> Ended:
    """Run `kubectl-airgap` of this environment."""
    return run([Path(sys.executable).with_name("kubectl-airgap"), *arguments], environment)


def run(command: list[str | Path], environment: Mapping[str, str] | None = None) -> Ended:
    began = time.monotonic()
    env = {**os.environ, **(environment or {})}
    ended = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True, timeout=120)
    return Ended(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - began)
