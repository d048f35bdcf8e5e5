from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from airgap import limits
from airgap_cli import render
from airgap_cli.options import Concurrency, DryRun, Mirror, Quiet, RegistryFlags, SourceFlags, flag, grouped, sources_of
from airgap_cli.words import duration, plural, size

if TYPE_CHECKING:
    from airgap.operations.pack import Packing


@grouped
def pack(
    sources: SourceFlags,
    registries: RegistryFlags,
    output: Annotated[Path, flag("-o", "--output", help="The bundle to write, a .tar file.", metavar="BUNDLE")],
    mirror: Mirror = None,
    platform: Annotated[
        list[str] | None,
        flag("--platform", help="Only this platform of images, such as linux/amd64; repeatable.", metavar="OS/ARCH"),
    ] = None,
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", help="Pack what was found although not everything could be examined.")
    ] = False,
    include_off: Annotated[
        bool, flag("--include-off", help="Also images that only chart features which are off would need.")
    ] = False,
    concurrency: Concurrency = limits.WORKERS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Put the images that manifests and charts need into one file.

    The file is a plain tar and an OCI image layout: skopeo, ctr, podman and docker read it too. A run that was cut
    leaves BUNDLE.partial; the same command goes on from there.

    \b
    Examples:
      kubectl airgap pack -f deploy/ -o app.tar
      kubectl airgap pack --chart ./shop --platform linux/amd64 -o shop.tar
      kubectl airgap pack --images-file images.txt --mirror docker.io=mirror.local/hub -o app.tar
    """
    from airgap.operations import images
    from airgap.operations import pack as operation
    from airgap.platforms import Platform
    from airgap_cli.progress import Progress
    from airgap_cli.running import run_of

    platforms = tuple(Platform.parse(text) for text in platform or ())
    operation.check_place(output)
    with Progress("packing", quiet=quiet) as progress:
        run = run_of(registries, concurrency, progress, mirror or ())
        found = images.find_images(sources_of(sources))
        if not include_off:
            found, off = operation.without_off(found)
            for reference in () if quiet else off:
                render.say(f"not packed: {reference}, which only a feature that is off needs; --include-off packs it")
        packing = operation.prepare(found, output, platforms, run, allow_incomplete=allow_incomplete)
        if dry_run:
            _say_plan(packing)
            return
        packed = operation.write(packing, run)
        seconds = progress.seconds
    if quiet:
        return
    fetched = f"{size(packed.fetched)} fetched in {duration(seconds)}"
    kept = f", {plural(packed.kept, 'blob')} kept from an earlier run" if packed.kept else ""
    render.say(f"packed {plural(packed.images, 'image')} into {output}: {size(packed.size)}, {fetched}{kept}")
    render.say(
        f"\nnext: carry it over, then\n  kubectl airgap verify {output}\n  kubectl airgap push {output} HOST/PREFIX"
    )


def _say_plan(packing: Packing) -> None:
    layout = packing.composition.layout
    for image in packing.graph.images:
        render.names([f"{image.reference}@{image.root.digest}" if not image.reference.digest else str(image.reference)])
    blobs = plural(len(layout.blobs), "blob")
    render.say(f"would write {packing.path}: {size(packing.size)} in {blobs}; {size(packing.free)} are free there")
    if packing.size > packing.free:
        render.say(f"that does not fit: {size(packing.size - packing.free)} are missing")
