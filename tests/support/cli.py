"""Our commands, run as their users run them: a process of their own. Other programs too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPTS = Path(sys.executable).parent
SECONDS = 60.0


class Ended(subprocess.CompletedProcess[str]):
    """How a command ended; `seconds` is how long it took."""

    seconds: float

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.stdout)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, without its heading."""
        return [line.split("   ") for line in self.stdout.splitlines()[1:]]


def kubectl_airgap(
    *arguments: object, env: Mapping[str, str] | None = None, stdin: str | bytes = b"", seconds: float = SECONDS
) -> Ended:
    """Run `kubectl-airgap` to its end."""
    return run(SCRIPTS / "kubectl-airgap", *arguments, env=env, stdin=stdin, seconds=seconds)


def helm_relocate(
    *arguments: object, env: Mapping[str, str] | None = None, stdin: str | bytes = b"", seconds: float = SECONDS
) -> Ended:
    """Run `helm-relocate` to its end."""
    return run(SCRIPTS / "helm-relocate", *arguments, env=env, stdin=stdin, seconds=seconds)


def run(
    *command: object, env: Mapping[str, str] | None = None, stdin: str | bytes = b"", seconds: float = SECONDS
) -> Ended:
    """Run any program to its end, with `env` on top of ours; bytes that are no text stay visible in the output."""
    began = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=seconds,
        env={**os.environ, **(env or {})},
        check=False,
    )
    out, err = (stream.decode(errors="backslashreplace") for stream in (done.stdout, done.stderr))
    ended = Ended(done.args, done.returncode, out, err)
    ended.seconds = time.monotonic() - began
    return ended


def check_refusal(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """A refusal as promised: its exit code, one line that says why, no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    first = done.stderr.lstrip("\n").splitlines()[0]
    assert first.startswith("error: "), done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
