"""What `kubectl airgap` itself takes; apart from `app.py`, so that `--version` needs no parser."""

from __future__ import annotations

from typing import Annotated

import typer

from airgap import __version__


def airgap(
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and stop.")] = False,
) -> None:
    """Software into Kubernetes clusters that have no internet.

    Find the images that charts and manifests need, carry them over in one file, and point everything at the
    registry inside.
    """
    if version:
        typer.echo(f"kubectl-airgap {__version__}")
        raise typer.Exit
