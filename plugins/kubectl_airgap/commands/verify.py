from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from airgap import limits
from airgap_cli import render
from airgap_cli.options import Concurrency, Quiet
from airgap_cli.words import duration, plural, size


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle file.", metavar="BUNDLE", show_default=False)],
    concurrency: Concurrency = limits.WORKERS,
    quiet: Quiet = False,
) -> None:
    """Prove that a bundle is whole.

    Every byte is hashed, and every image followed down to its last layer. Exit code 3 means damaged; each
    damaged object is named.

    \b
    Examples:
      kubectl airgap verify app.tar
    """
    from airgap.bundles.reader import open_bundle
    from airgap.bundles.verification import verify as prove
    from airgap_cli.progress import Progress

    with open_bundle(bundle) as opened, Progress("verifying", quiet=quiet) as progress:
        proved = prove(opened, workers=concurrency, observe=progress)
        seconds = progress.seconds
    if not quiet:
        what = f"{plural(proved.images, 'image')}, {plural(proved.blobs, 'blob')}, {size(proved.bytes)}"
        render.say(f"{bundle} is whole: {what}, hashed in {duration(seconds)}")
        render.say(f"\nnext:\n  kubectl airgap push {bundle} HOST/PREFIX")
