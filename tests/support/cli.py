"""Our commands, run as their users run them: a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
SECONDS = 60.0


def kubectl_airgap(
    *arguments: object, env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `kubectl-airgap` to its end; output is text, with undecodable bytes kept visible."""
    return run(SCRIPTS / "kubectl-airgap", *arguments, env=env, stdin=stdin, seconds=seconds)


def helm_relocate(
    *arguments: object, env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `helm-relocate` to its end."""
    return run(SCRIPTS / "helm-relocate", *arguments, env=env, stdin=stdin, seconds=seconds)


def run(
    *command: object, env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run any command to its end, with more environment on top of ours."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        timeout=seconds,
        env={**os.environ, **(env or {})},
        check=False,
    )
    out, err = (stream.decode(errors="backslashreplace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def check_refusal(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """A refusal as promised: its exit code, one line that says why, no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    first = done.stderr.lstrip("\n").splitlines()[0]
    assert first.startswith("error: "), done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
