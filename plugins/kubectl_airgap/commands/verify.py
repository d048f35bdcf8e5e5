from __future__ import annotations

from airgap import limits
from airgap_cli import render
from airgap_cli.options import BundlePlace, Concurrency, Quiet
from airgap_cli.words import duration, plural, size


def verify(
    bundle: BundlePlace,
    concurrency: Concurrency = limits.WORKERS,
    quiet: Quiet = False,
) -> None:
    """Prove that a bundle is whole.

    Every byte is hashed, and every image followed down to its last layer. Exit code 3 means damaged; each
    damaged object is named, and of a bundle in parts the parts to send again. - reads what is piped in, once.

    \b
    Examples:
      kubectl airgap verify app.tar
      ssh outside cat app.tar | kubectl airgap verify -
    """
    from airgap.operations.environment import Run
    from airgap.operations.places import open_bundle
    from airgap.operations.verify import verify as prove
    from airgap_cli.progress import Progress

    with Progress("verifying", quiet=quiet) as progress:
        run = Run(workers=concurrency, observe=progress)
        with open_bundle(bundle, run) as opened:
            proved = prove(opened, run)
        seconds = progress.seconds
    if not quiet:
        what = f"{plural(proved.images, 'image')}, {plural(proved.blobs, 'blob')}, {size(proved.bytes)}"
        render.say(f"{opened.place} is whole: {what}, hashed in {duration(seconds)}")
        render.say(f"\nnext:\n  kubectl airgap push {bundle} HOST/PREFIX")
