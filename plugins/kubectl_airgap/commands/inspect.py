from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from airgap_cli import render
from airgap_cli.options import BucketFlags, Format, Output, PipedBundlePlace, RegistryFlags, flag, grouped
from airgap_cli.trustflags import TrustFlags
from airgap_cli.words import counted, plural, size

if TYPE_CHECKING:
    from airgap.bundles.reader import Bundle
    from airgap.operations.inspect import Contents, Row


@grouped
def inspect(
    bundle: PipedBundlePlace,
    registries: RegistryFlags,
    buckets: BucketFlags,
    trust: TrustFlags,
    output: Output = Format.TABLE,
    inventory: Annotated[
        bool, flag("--inventory", help="Print the inventory as it is: what `pack --since` takes in place of a bundle.")
    ] = False,
) -> None:
    """Say what is inside a bundle, and why.

    Every image, chart and set of files with its size, what it shares with others, how many signatures and other
    referrers came with it, and who asked for it. Reads only the leading members and the manifests, of what is piped in
    (-) too; nothing is unpacked.

    \b
    Examples:
      kubectl airgap inspect app.tar
      kubectl airgap inspect app.tar -o wide
      kubectl airgap inspect app.tar -o name
    """
    from airgap.bundles.composition import INVENTORY_FILE
    from airgap.operations.environment import Run
    from airgap.operations.inspect import contents
    from airgap.operations.places import open_bundle
    from airgap_cli.progress import Progress
    from airgap_cli.running import access_of
    from airgap_cli.trustflags import trusting

    access = access_of(registries, buckets=buckets)
    run = trusting(Run(access, observe=Progress("inspecting", quiet=True)), trust.verify_key)
    with open_bundle(bundle, run) as opened:
        if inventory:
            sys.stdout.buffer.write(opened.documents[INVENTORY_FILE])
            return
        found, about = contents(opened), _about(opened)
    if output is Format.NAME:
        render.names(str(row.reference) for row in found.asked)
    elif output in (Format.JSON, Format.YAML):
        render.document("BundleContents", [_to_json(row) for row in found.rows], output, size=found.size, **about)
    else:
        _table(found, wide=output is Format.WIDE)
        said = ", ".join(f"{key} {value}" for key, value in about.items() if value not in (None, ""))
        render.say(" ".join(said.split()))  # on one line, whatever the name is
        if sys.stderr.isatty():
            render.say(f"\nnext:\n  kubectl airgap push {bundle} HOST/PREFIX")


def _about(bundle: Bundle) -> dict[str, str | int | None]:
    """What the bundle says of itself, and who vouches for that; None where nobody was asked."""
    inventory, signer = bundle.inventory, bundle.signer
    return {
        "name": inventory.name,
        "version": inventory.version,
        "sequence": inventory.sequence,
        "expires": inventory.expires,
        "absent": sum(row.size for row in inventory.absent) or None,
        "signer": signer.fingerprint if signer else None,
    }


def _table(found: Contents, *, wide: bool) -> None:
    header = ["NAME", "KIND", "PLATFORMS", "SIZE", "SHARED", "REFERRERS"] + (["DIGEST", "WHY"] if wide else [])
    rows = []
    for row in found.asked:
        cells = [str(row.reference), row.kind, ",".join(row.platforms), size(row.size), size(row.shared)]
        cells.append(str(row.referrers))
        rows.append([*cells, row.digest, "; ".join(row.why)] if wide else cells)
    render.table(header, rows)
    blobs = plural(found.blobs, "blob")
    render.say(f"{counted(found.counts)} in {blobs}, {size(found.size)}")


def _to_json(row: Row) -> dict[str, Any]:
    return {
        "kind": row.kind,
        **({"subject": row.subject} if row.subject else {}),
        "reference": str(row.reference),
        "digest": row.digest,
        "platforms": list(row.platforms),
        "size": row.size,
        "shared": row.shared,
        "why": list(row.why),
        **({"files": list(row.files)} if row.files else {}),
    }
