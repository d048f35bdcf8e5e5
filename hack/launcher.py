"""What starts in a frozen build: one program, which is `kubectl-airgap` or `helm-relocate` by the name it has."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def _restore_library_path() -> None:
    """The frozen build finds its libraries by LD_LIBRARY_PATH; helm, kubectl and credential helpers must not."""
    original = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    os.environ.pop("LD_LIBRARY_PATH", None)
    if original is not None:
        os.environ["LD_LIBRARY_PATH"] = original


def _start() -> None:
    started = Path(sys.argv[0]).name
    if started.startswith("helm-relocate"):
        from helm_relocate.app import main
    elif started.startswith("kubectl_complete-airgap"):
        from kubectl_airgap.app import complete as main
    else:
        from kubectl_airgap.app import main
    main()


_restore_library_path()
_start()
