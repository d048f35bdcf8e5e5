from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airgap import limits
from airgap_cli import render
from airgap_cli.options import (
    BucketFlags,
    Concurrency,
    DryRun,
    KeepGoing,
    MaxDepth,
    Naming,
    PipedBundlePlace,
    Quiet,
    RegistryFlags,
    Report,
    ReportFormat,
    flag,
    grouped,
)
from airgap_cli.reports import check_complete, print_plan, print_report
from airgap_cli.trustflags import FreshnessFlags, TrustFlags
from airgap_cli.words import at_rate, counted, duration, parse_chunk, plural, size

if TYPE_CHECKING:
    from airgap.operations.push import Push, Pushed


@grouped
def push(
    bundle: PipedBundlePlace,
    target: Annotated[
        str, typer.Argument(help="The registry, and the path below it.", metavar="HOST[/PREFIX]", show_default=False)
    ],
    registries: RegistryFlags,
    buckets: BucketFlags,
    trust: TrustFlags,
    freshness: FreshnessFlags,
    naming: Naming = "strip",
    max_depth: MaxDepth = 0,
    lock: Annotated[
        Path | None,
        flag("--lock", help="Where to write what is where now; else BUNDLE.lock.yaml.", metavar="FILE"),
    ] = None,
    filter_index: Annotated[
        bool,
        flag("--filter-index", help="Make new indexes of the platforms that are there, for registries that want all."),
    ] = False,
    images_only: Annotated[
        bool, flag("--images-only", help="Leave out charts, manifests and files, for registries that take none.")
    ] = False,
    no_referrers: Annotated[
        bool, flag("--no-referrers", help="Leave signatures, attestations and other attached things in the bundle.")
    ] = False,
    create_projects: Annotated[
        bool, flag("--create-projects", help="If it is a Harbor, make the projects that are not there, private ones.")
    ] = False,
    chunk_size: Annotated[
        str,
        flag("--chunk-size", help="What one request may carry, where a proxy limits it: 1MiB, 50MB.", metavar="SIZE"),
    ] = "",
    keep_going: KeepGoing = False,
    concurrency: Concurrency = limits.WORKERS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    report: Report = None,
) -> None:
    """Put a bundle's images into a registry, with proof.

    Charts are put below charts/, manifests and files below manifests/ and files/. Each tag is asked for again
    afterwards. What the registry has already is not sent again, so the same command goes on where a run was cut. The
    lock it writes is what relocation takes.

    - reads a bundle that is piped in: what is missing is sent as it passes, without a disk, and named once the whole
    was right.

    \b
    Examples:
      kubectl airgap push app.tar registry.internal:5000/apps
      kubectl airgap push app.tar registry.internal:5000 --naming keep --lock app.lock.yaml
      kubectl airgap pack -f deploy/ -o - | ssh jump kubectl airgap push - registry.internal:5000/apps
      kubectl airgap push app.tar registry.internal:5000/apps --verify-key sign.pub
      kubectl airgap push s3://bundles/app registry.internal:5000/apps --s3-endpoint https://s3.local
    """
    from airgap.bundles import lock as locks
    from airgap.operations import places
    from airgap.operations import push as operation
    from airgap.relocation.policy import Relocation
    from airgap_cli.progress import Progress
    from airgap_cli.running import run_of
    from airgap_cli.trustflags import trusting

    relocation = Relocation.to(target, naming, max_depth=max_depth)
    chunk = parse_chunk(chunk_size) if chunk_size else 0
    wishes = operation.Wishes(filter_index, images_only, not no_referrers, create_projects, chunk, dry_run)
    with Progress("pushing", quiet=quiet) as progress:
        reached = run_of(registries, concurrency, progress, buckets=buckets)
        run = trusting(reached, trust.verify_key, freshness)
        with places.open_bundle(bundle, run) as opened:
            place = lock or places.beside(bundle, ".lock.yaml", opened)
            prepared = operation.prepare(opened, relocation, run, wishes)
            if dry_run:
                _say_plan(prepared, report, run.access.rate)
                return
            locks.check_new(place)
            pushed = operation.execute(prepared, run, keep_going=keep_going)
        if pushed.lock.entries:
            locks.write(pushed.lock, place)
        seconds = progress.seconds
    if report is not None:
        print_report(pushed.report, report)
    if not quiet:
        if prepared.projects:
            render.say(f"made {plural(len(prepared.projects), 'project')} there: {', '.join(prepared.projects)}")
        _say(pushed, prepared, target, place, seconds)
    check_complete(pushed.failures, "pushed")


def _say(pushed: Pushed, prepared: Push, target: str, place: Path, seconds: float) -> None:
    done = pushed.report
    sent = f"{size(done.bytes)} sent in {duration(seconds)}" if done.bytes else "nothing was left to send"
    shared = f", {plural(done.mounted, 'blob')} taken over from repositories there" if done.mounted else ""
    which = "what failed is below; each other tag" if pushed.failures else "each tag"
    what = f"pushed {counted(pushed.counts)} to {target}: {sent}{shared}"
    render.say(f"{what}; {which} was asked for again and is right")
    _say_left(prepared)
    if pushed.lock.entries:
        render.say(f"the lock is {place}")
    for line in _next(pushed, target, place):
        render.say(line)


def _next(pushed: Pushed, target: str, place: Path) -> Iterator[str]:
    """What is needed next: images under their new names, then the charts that are there too."""
    charts = [f"oci://{chart.name} --version {chart.tag.replace('_', '+')}" for chart in pushed.charts if chart.tag]
    if pushed.lock.entries:
        yield "\nnext: point what needs them there"
        yield f"  kubectl airgap relocate -f MANIFESTS --lock {place} -o OUT/"
        for chart in charts or ["CHART"]:
            yield f"  helm relocate {chart} --to {target} --lock {place} -o OUT/"
        if charts:
            yield "\nor let helm do that as it installs"
    elif charts:
        yield "\nnext:"
    renderer = f" --post-renderer relocate-images --post-renderer-args --lock={place}" if pushed.lock.entries else ""
    for chart in charts:
        yield f"  helm install NAME {chart}{renderer}"


def _say_left(prepared: Push) -> None:
    if prepared.left:
        count = plural(len(prepared.left), "referrer")
        render.say(f"{count} left in the bundle: the new index has another digest than the one referred to")
    for reference in prepared.left:
        render.say(f"  {reference}")


def _say_plan(prepared: Push, report: ReportFormat | None, rate: int) -> None:
    if report is not None:
        print_plan(prepared.plan, report)
        return
    if prepared.projects:
        render.say(f"would make {plural(len(prepared.projects), 'project')}: {', '.join(prepared.projects)}")
    for publish in prepared.plan.images:
        state = "is there" if publish.complete else f"{publish.image.root.digest}"
        render.names([f"{publish.image.reference} -> {publish.target} ({state})"])
    todo = prepared.plan
    cost = f"{size(todo.bytes)} in {plural(len(todo.copies), 'blob')}, about {plural(todo.requests, 'request')}"
    render.say(f"would send {cost}{at_rate(todo.bytes, rate)}")
    _say_left(prepared)
