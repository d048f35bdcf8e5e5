from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airgap_cli import render
from airgap_cli.options import Format, Output
from airgap_cli.words import plural, size

if TYPE_CHECKING:
    from airgap.operations.inspect import Contents, ImageRow


def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle file.", metavar="BUNDLE", show_default=False)],
    output: Output = Format.TABLE,
) -> None:
    """Say what is inside a bundle, and why.

    Every image with its size, what it shares with others, and who asked for it. Reads only the leading members
    and the manifests; nothing is unpacked.

    \b
    Examples:
      kubectl airgap inspect app.tar
      kubectl airgap inspect app.tar -o wide
      kubectl airgap inspect app.tar -o name
    """
    from airgap.bundles.reader import open_bundle
    from airgap.operations.inspect import contents

    with open_bundle(bundle) as opened:
        found = contents(opened)
    if output is Format.NAME:
        render.names(str(row.reference) for row in found.images)
    elif output in (Format.JSON, Format.YAML):
        render.document("BundleContents", [_to_json(row) for row in found.images], output, size=found.size)
    else:
        _table(found, bundle, wide=output is Format.WIDE)


def _table(found: Contents, bundle: Path, *, wide: bool) -> None:
    header = ["IMAGE", "PLATFORMS", "SIZE", "SHARED"] + (["DIGEST", "WHY"] if wide else [])
    rows = []
    for row in found.images:
        cells = [str(row.reference), ",".join(row.platforms), size(row.size), size(row.shared)]
        rows.append([*cells, row.digest, "; ".join(row.why)] if wide else cells)
    render.table(header, rows)
    blobs = plural(found.blobs, "blob")
    render.say(f"{plural(len(found.images), 'image')}, {blobs}, {size(found.size)} on disk")
    if sys.stderr.isatty():
        render.say(f"\nnext:\n  kubectl airgap push {bundle} HOST/PREFIX")


def _to_json(row: ImageRow) -> dict[str, Any]:
    return {
        "reference": str(row.reference),
        "digest": row.digest,
        "platforms": list(row.platforms),
        "size": row.size,
        "shared": row.shared,
        "why": list(row.why),
    }
