from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from airgap import limits
from airgap.errors import InvalidInput
from airgap_cli import render
from airgap_cli.options import (
    BucketFlags,
    Concurrency,
    DryRun,
    KeepGoing,
    Mirror,
    Quiet,
    RegistryFlags,
    Report,
    ReportFormat,
    RuntimeAddress,
    RuntimeNamespace,
    SourceFlags,
    flag,
    grouped,
    sources_of,
)
from airgap_cli.reports import check_complete, print_report
from airgap_cli.trustflags import LabelFlags, TrustFlags
from airgap_cli.words import at_rate, counted, duration, parse_size, plural, size

if TYPE_CHECKING:
    from airgap.operations.environment import Run
    from airgap.operations.pack import Packed, Packing


@grouped
def pack(
    sources: SourceFlags,
    registries: RegistryFlags,
    label: LabelFlags,
    trust: TrustFlags,
    output: Annotated[
        str,
        flag(
            "-o",
            "--output",
            help="The bundle to write: a .tar file, DIR/, s3://BUCKET/PREFIX, or - for standard output.",
            metavar="BUNDLE",
        ),
    ],
    buckets: BucketFlags,
    mirror: Mirror = None,
    platform: Annotated[
        list[str] | None,
        flag("--platform", help="Only this platform of images, such as linux/amd64; repeatable.", metavar="OS/ARCH"),
    ] = None,
    no_referrers: Annotated[
        bool, flag("--no-referrers", help="Leave out signatures, attestations and other things attached to images.")
    ] = False,
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", help="Pack what was found although not everything could be examined.")
    ] = False,
    include_off: Annotated[
        bool, flag("--include-off", help="Also images that only chart features which are off would need.")
    ] = False,
    file: Annotated[
        list[str] | None,
        flag("--file", help="Also this file or directory, under another name if wanted.", metavar="PATH[=NAME]"),
    ] = None,
    images_only: Annotated[
        bool, flag("--images-only", help="Leave out the charts and manifests themselves, and pack their images.")
    ] = False,
    since: Annotated[
        str,
        flag(
            "--since",
            help="Leave out what an earlier bundle, its inventory or a registry (oci://HOST/PREFIX) has: a delta.",
            metavar="PLACE",
        ),
    ] = "",
    split: Annotated[
        str,
        flag("--split", help="Write parts of this size, such as 4GB; FAT32 takes up to 4294967295.", metavar="SIZE"),
    ] = "",
    from_: Annotated[
        str,
        flag("--from", help="Take images from this machine's docker, podman or containerd alone.", metavar="RUNTIME"),
    ] = "",
    address: RuntimeAddress = "",
    containerd_namespace: RuntimeNamespace = "",
    keep_going: KeepGoing = False,
    concurrency: Concurrency = limits.WORKERS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    report: Report = None,
) -> None:
    """Put the images that manifests and charts need into one file.

    The charts and manifests come along, what --file names, and the signatures, attestations and other things that
    registries list as referring to an image. The file is a plain tar and an OCI image layout: skopeo, ctr, podman and
    docker read it too. A run that was cut leaves BUNDLE.partial; the same command goes on from there. DIR/ and s3://…
    become the same layout, unpacked.

    With --from, registries are not asked. containerd keeps images as they were pulled, digests and all; docker and
    podman keep no compressed layers, so that digests are others than at the registry and the bundle is larger.

    With --split the file comes in parts, BUNDLE.001 and so on, and BUNDLE.parts.json, which tells them apart: every
    command takes them as they are. With -o - it goes to standard output, and needs no disk.

    \b
    Examples:
      kubectl airgap pack -f deploy/ -o app.tar
      kubectl airgap pack --chart ./shop --platform linux/amd64 -o shop.tar
      kubectl airgap pack --images-file images.txt --mirror docker.io=mirror.local/hub -o app.tar
      kubectl airgap pack -f deploy/ --since app.tar -o app-2.tar
      kubectl airgap pack --chart ./shop --file bin/tool --file docs=manual -o shop.tar
      kubectl airgap pack -f deploy/ --split 4GB -o /media/stick/app.tar
      kubectl airgap pack -f deploy/ -o - | ssh jump kubectl airgap push - registry.internal:5000/apps
      kubectl airgap pack -f deploy/ --name app --sequence 3 --expires 90d --sign-key sign.key -o app-3.tar
      kubectl airgap pack --image shop/web:dev --from docker -o dev.tar
      kubectl airgap pack -f deploy/ -o s3://bundles/app --s3-endpoint https://s3.local
    """
    from airgap.adapters.runtimes.choice import Choice
    from airgap.bundles.freshness import expiry
    from airgap.operations import artifacts, images, local, places
    from airgap.operations import pack as operation
    from airgap.platforms import Platform
    from airgap_cli.progress import Progress
    from airgap_cli.running import run_of
    from airgap_cli.trustflags import now, signing_key, trusting

    wishes = operation.Wishes(
        platforms=tuple(Platform.parse(text) for text in platform or ()),
        referrers=not no_referrers,
        allow_incomplete=allow_incomplete,
        keep_going=keep_going,
        since=since,
        split=parse_size(split) if split else 0,
        name=label.name,
        version=label.bundle_version,
        sequence=label.sequence,
        expires=expiry(label.expires, now()) if label.expires else "",
        key=signing_key(label.sign_key, label.sign_password_file) if label.sign_key else None,
    )
    wanted = artifacts.Wanted(wishes.label(output), tuple(file or ()), images_only, output)
    places.check_new(output, wishes.split)
    if report is not None and output == places.STREAM:
        raise InvalidInput("--report and the bundle cannot both go to standard output", hint="name a file with -o")
    with (
        Progress("packing", quiet=quiet) as progress,
        artifacts.gathered(sources_of(sources), wanted) as (held, made),
    ):
        reached = run_of(registries, concurrency, progress, mirror or (), buckets)
        run = trusting(reached, trust.verify_key)
        found = images.find_images(held, optional=bool(made))
        if not include_off:
            found, off = operation.without_off(found)
            for reference in () if quiet else off:
                render.say(f"not packed: {reference}, which only a feature that is off needs; --include-off packs it")
        with ExitStack() as until_packed:
            runtime = None
            if from_:
                chosen = Choice(from_, address, containerd_namespace)
                images_here = local.source_of(chosen, found.references, output, run, keep_going=keep_going)
                runtime = until_packed.enter_context(images_here)
            packing = operation.prepare(found, output, wishes, run, made, runtime)
            if dry_run:
                _say_plan(packing, report, run.access.rate)
                _say_allowances(run)
                check_complete(packing.graph.unreadable, "read")
                return
            packed = operation.write(packing, run)
        seconds = progress.seconds
    if report is not None:
        print_report(packed.report, report)
    if not quiet:
        _say_allowances(run)
        _say(packed, packing, seconds)
    check_complete(packed.failures, "read")


def _say(packed: Packed, packing: Packing, seconds: float) -> None:
    done = packed.report
    is_stream = packed.place == "-"
    place = "standard output" if is_stream else packed.place
    fetched = f"{size(done.bytes)} fetched in {duration(seconds)}"
    kept = f", {plural(done.present, 'blob')} kept from an earlier run" if done.present else ""
    absent = packing.composition.inventory.absent
    spared = f"; {size(sum(row.size for row in absent))} are left to the other side" if absent else ""
    parts = f" in {plural(packing.parts, 'part')}" if packing.parts else ""
    what = f"packed {counted(packing.counts)} into {place}: {size(packed.size)}{parts}"
    render.say(f"{what}, {fetched}{kept}{spared}")
    if not packing.composition.docker_readable and not absent:
        render.say("nothing in it is an image, so `docker load` and `podman load` find nothing in it")
    _say_sparse(packing)
    if is_stream:
        return
    cargo = f"{place}.[0-9]* and {place}.parts.json" if packing.parts else "it"
    key = " --verify-key PUBLIC-KEY" if packing.is_signed else ""
    verify, push = f"kubectl airgap verify {place}{key}", f"kubectl airgap push {place} HOST/PREFIX{key}"
    render.say(f"\nnext: carry {cargo} over, then\n  {verify}\n  {push}")


def _say_sparse(packing: Packing) -> None:
    if packing.sparse:
        images = plural(len(packing.sparse), "image")
        render.say(f"of {images} other platforms stay behind; a registry that wants all takes push --filter-index")


def _say_plan(packing: Packing, report: ReportFormat | None, rate: int) -> None:
    layout = packing.composition.layout
    if report is not None:
        rows = ({"source": str(item.reference), "digest": item.digest} for item in packing.asked)
        cost = {"blobs": len(layout.blobs), "requests": packing.requests}
        sums = {"bytes": packing.size, **cost, "free": packing.free}
        render.document("TransferPlan", rows, report, **sums)
        return
    for item in packing.asked:
        render.names([str(item.reference if item.reference.digest else item.reference.with_digest(item.digest))])
    blobs = f"{plural(len(layout.blobs), 'blob')} by {plural(packing.requests, 'request')}"
    parts = f", {plural(packing.parts, 'part')}" if packing.parts else ""
    place = "standard output" if packing.place == "-" else packing.place
    render.say(f"would write {counted(packing.counts)} to {place}: {size(packing.size)} in {blobs}{parts}")
    free = "what is free there is not known" if packing.free is None else f"{size(packing.free)} are free there"
    render.say(f"{free}{at_rate(packing.size, rate)}")
    _say_sparse(packing)
    if packing.free is not None and packing.size > packing.free:
        render.say(f"that does not fit: {size(packing.size - packing.free)} are missing")


def _say_allowances(run: Run) -> None:
    for allowance in run.allowances:
        render.say(str(allowance))
