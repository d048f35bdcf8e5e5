"""Assembles `kubectl airgap`; what a verb does stands in `commands/<verb>.py`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from airgap import __version__

if TYPE_CHECKING:
    import typer

VERBS = {
    "mounts": "kubectl_airgap.commands.mounts",
    "images": "kubectl_airgap.commands.images",
    "pack": "kubectl_airgap.commands.pack",
    "inspect": "kubectl_airgap.commands.inspect",
    "verify": "kubectl_airgap.commands.verify",
    "sign": "kubectl_airgap.commands.sign",
    "push": "kubectl_airgap.commands.push",
    "load": "kubectl_airgap.commands.load",
    "relocate": "kubectl_airgap.commands.relocate",
}

_HELP = """Software into Kubernetes clusters that have no internet.

Find the images that charts and manifests need, carry them over in one file, and point everything at the registry
inside.
"""


def main() -> NoReturn:
    """Entry point `kubectl-airgap`."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before the parser is even imported
        sys.stdout.write(f"kubectl-airgap {__version__}\n")
        sys.exit(0)
    if sys.argv[1:2] == ["__complete"]:
        complete(sys.argv[2:])

    from airgap_cli.assembly import typed_as
    from airgap_cli.runner import run

    run(_app(), typed_as("kubectl airgap"))


def complete(words: list[str] | None = None) -> NoReturn:
    """Entry point `kubectl_complete-airgap`: kubectl asks it what could come next."""
    from airgap_cli.completion import answer

    answer(_app(), sys.argv[1:] if words is None else words)


def _app() -> typer.Typer:
    from airgap_cli.assembly import plugin

    return plugin(VERBS, f"kubectl-airgap {__version__}", _HELP)
