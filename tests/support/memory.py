"""How much memory a command takes."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.cli import SCRIPTS, run

# In a process of its own, since one that is started by us would begin with our size.
_MEASURED = """
import resource, subprocess, sys
source = open(sys.argv[1], "rb") if sys.argv[1] else None
code = subprocess.call(sys.argv[2:], stdin=source, stdout=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def most_memory(*arguments: object, stdin: Path | None = None) -> float:
    """The largest resident set, in MB, of a `kubectl airgap` command that succeeds."""
    done = run(sys.executable, "-c", _MEASURED, stdin or "", SCRIPTS / "kubectl-airgap", *arguments)
    code, kibibytes = done.stdout.split()
    assert code == "0", done.stderr
    return int(kibibytes) * 1024 / 1e6
