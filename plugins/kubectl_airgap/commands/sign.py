from __future__ import annotations

from airgap_cli import render
from airgap_cli.options import BucketFlags, BundlePlace, Quiet, RegistryFlags, grouped
from airgap_cli.trustflags import OwnSignKey, SignPasswordFile, TrustFlags
from airgap_cli.words import plural


@grouped
def sign(
    bundle: BundlePlace,
    key: OwnSignKey,
    trust: TrustFlags,
    registries: RegistryFlags,
    buckets: BucketFlags,
    sign_password_file: SignPasswordFile = None,
    quiet: Quiet = False,
) -> None:
    """Sign a bundle.

    What is signed is its inventory, which names everything else by digest. A signature that is there is replaced
    where it stands; a bundle without one is written anew beside itself first. Keys are made with openssl:

    \b
      openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sign.key
      openssl pkey -in sign.key -pubout -out sign.pub

    \b
    Examples:
      kubectl airgap sign app.tar --key sign.key
      kubectl airgap sign app.tar --key ours.key --verify-key theirs.pub
    """
    from airgap.operations import sign as operation
    from airgap.operations.environment import Run
    from airgap_cli.progress import Progress
    from airgap_cli.running import access_of
    from airgap_cli.trustflags import signing_key, trusting

    private = signing_key(key, sign_password_file)
    run = trusting(
        Run(access_of(registries, buckets=buckets), observe=Progress("signing", quiet=True)), trust.verify_key
    )
    signed = operation.sign(bundle, private, run)
    if quiet:
        return
    again = " in the place of an earlier one" if signed.replaced else ""
    items = plural(len(signed.inventory.items), "item")
    render.say(f"signed {bundle}{again}: {items}, inventory {signed.digest}")
    render.say(f"the key is {private.public.kind} {private.public.fingerprint}")
    render.say(
        "\nnext: carry it over, and the public key by a way of its own, then\n"
        f"  kubectl airgap verify {bundle} --key PUBLIC-KEY"
    )
