from __future__ import annotations

from airgap import limits
from airgap_cli import render
from airgap_cli.options import BucketFlags, BundlePlace, Concurrency, Quiet, RegistryFlags, grouped
from airgap_cli.words import duration, plural, size


@grouped
def verify(
    bundle: BundlePlace,
    registries: RegistryFlags,
    buckets: BucketFlags,
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
    from airgap.bundles.verification import verify as prove
    from airgap.operations.places import open_bundle
    from airgap_cli.progress import Progress
    from airgap_cli.running import run_of

    with Progress("verifying", quiet=quiet) as progress:
        run = run_of(registries, concurrency, progress, buckets=buckets)
        with open_bundle(bundle, run) as opened:
            proved = prove(opened, workers=run.workers, observe=run.observe, stopped=run.stopped)
        seconds = progress.seconds
    if not quiet:
        what = f"{plural(proved.images, 'image')}, {plural(proved.blobs, 'blob')}, {size(proved.bytes)}"
        render.say(f"{bundle} is whole: {what}, hashed in {duration(seconds)}")
        render.say(f"\nnext:\n  kubectl airgap push {bundle} HOST/PREFIX")
