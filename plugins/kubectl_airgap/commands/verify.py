from __future__ import annotations

from airgap import limits
from airgap_cli import render
from airgap_cli.options import BucketFlags, Concurrency, PipedBundlePlace, Quiet, RegistryFlags, grouped
from airgap_cli.trustflags import OwnVerifyKey
from airgap_cli.words import counted, duration, plural, size


@grouped
def verify(
    bundle: PipedBundlePlace,
    registries: RegistryFlags,
    buckets: BucketFlags,
    verify_key: OwnVerifyKey = None,
    concurrency: Concurrency = limits.WORKERS,
    quiet: Quiet = False,
) -> None:
    """Prove that a bundle is whole.

    Every byte is hashed, and every image followed down to its last layer. Exit code 3 means damaged; each
    damaged object is named, and of a bundle in parts the parts to send again. With --key, the bundle must be signed
    with that key, too. - reads what is piped in, once.

    \b
    Examples:
      kubectl airgap verify app.tar
      kubectl airgap verify app.tar --key sign.pub
      ssh outside cat app.tar | kubectl airgap verify -
    """
    from airgap.operations.admission import examine
    from airgap.operations.places import open_bundle
    from airgap.operations.verify import verify as prove
    from airgap_cli.progress import Progress
    from airgap_cli.running import run_of
    from airgap_cli.trustflags import trusting

    with Progress("verifying", quiet=quiet) as progress:
        run = trusting(run_of(registries, concurrency, progress, buckets=buckets), verify_key)
        with open_bundle(bundle, run) as opened:
            examine(opened, run)
            proved = prove(opened, run)
        seconds = progress.seconds
    if not quiet:
        what = f"{counted(proved.counts)}, {plural(proved.blobs, 'blob')}, {size(proved.bytes)}"
        render.say(f"{opened.place} is whole: {what}, hashed in {duration(seconds)}")
        absent = opened.inventory.absent
        if absent:
            left = f"{plural(len(absent), 'blob')} of {size(sum(row.size for row in absent))}"
            render.say(f"it is a delta: {left} must be on the other side already; push proves that first")
        key = ""
        if opened.signer is not None:
            key = f" --verify-key {opened.signer.place}"
            render.say(f"it is signed with {opened.signer.place}, {opened.signer.fingerprint}")
        sent = "… | kubectl airgap push -" if bundle == "-" else f"kubectl airgap push {bundle}"
        render.say(f"\nnext:\n  {sent} HOST/PREFIX{key}")
