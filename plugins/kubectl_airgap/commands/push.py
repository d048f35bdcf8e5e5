from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airgap import limits
from airgap_cli import render
from airgap_cli.options import (
    BundlePlace,
    Concurrency,
    DryRun,
    KeepGoing,
    Quiet,
    RegistryFlags,
    Report,
    ReportFormat,
    flag,
    grouped,
)
from airgap_cli.reports import check_complete, print_plan, print_report
from airgap_cli.trustflags import FreshnessFlags, TrustFlags
from airgap_cli.words import duration, parse_chunk, plural, size

if TYPE_CHECKING:
    from airgap.operations.push import Push, Pushed


@grouped
def push(
    bundle: BundlePlace,
    target: Annotated[
        str, typer.Argument(help="The registry, and the path below it.", metavar="HOST[/PREFIX]", show_default=False)
    ],
    registries: RegistryFlags,
    trust: TrustFlags,
    freshness: FreshnessFlags,
    naming: Annotated[
        str,
        flag("--naming", help="What becomes of the source's name: strip its host, keep it, flat, or group=NAME."),
    ] = "strip",
    lock: Annotated[
        Path | None,
        flag("--lock", help="Where to write what is where now; else BUNDLE.lock.yaml.", metavar="FILE"),
    ] = None,
    filter_index: Annotated[
        bool,
        flag("--filter-index", help="Make new indexes of the platforms that are there, for registries that want all."),
    ] = False,
    no_referrers: Annotated[
        bool, flag("--no-referrers", help="Leave signatures, attestations and other attached things in the bundle.")
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

    Each tag is asked for again afterwards. What the registry has already is not sent again, so the same command
    goes on where a run was cut. The lock it writes is what relocation takes. - reads a bundle that is piped in:
    what is missing is sent as it passes, without a disk, and named once the whole was right.

    \b
    Examples:
      kubectl airgap push app.tar registry.internal:5000/apps
      kubectl airgap push app.tar registry.internal:5000 --naming keep --lock app.lock.yaml
      kubectl airgap pack -f deploy/ -o - | ssh jump kubectl airgap push - registry.internal:5000/apps
      kubectl airgap push app.tar registry.internal:5000/apps --verify-key sign.pub
    """
    from airgap.bundles import lock as locks
    from airgap.operations import places
    from airgap.operations import push as operation
    from airgap.relocation.policy import Relocation
    from airgap_cli.progress import Progress
    from airgap_cli.running import run_of
    from airgap_cli.trustflags import trusting

    relocation = Relocation.to(target, naming)
    chunk = parse_chunk(chunk_size) if chunk_size else 0
    with Progress("pushing", quiet=quiet) as progress:
        run = trusting(run_of(registries, concurrency, progress), trust.verify_key, freshness)
        with places.open_bundle(bundle, run) as opened:
            place = lock or places.beside(bundle, ".lock.yaml", opened)
            prepared = operation.prepare(
                opened, relocation, run, filter_index=filter_index, chunk=chunk, with_referrers=not no_referrers
            )
            if dry_run:
                _say_plan(prepared, report)
                return
            pushed = operation.execute(prepared, run, keep_going=keep_going)
        if pushed.lock.entries:
            locks.write(pushed.lock, place)
        seconds = progress.seconds
    if report is not None:
        print_report(pushed.report, report)
    if not quiet:
        _say(pushed, prepared, target, place, seconds)
    check_complete(pushed.failures, "pushed")


def _say(pushed: Pushed, prepared: Push, target: str, place: Path, seconds: float) -> None:
    done = pushed.report
    images = plural(len(pushed.lock.entries), "image")
    images += f" and {plural(pushed.referrers, 'referrer')}" if pushed.referrers else ""
    sent = f"{size(done.bytes)} sent in {duration(seconds)}" if done.bytes else "nothing was left to send"
    shared = f", {plural(done.mounted, 'blob')} taken over from repositories there" if done.mounted else ""
    render.say(f"pushed {images} to {target}: {sent}{shared}; each tag was asked for again and is right")
    _say_left(prepared)
    if not pushed.lock.entries:
        return
    render.say(f"the lock is {place}")
    render.say(
        "\nnext: point what needs them there\n"
        f"  kubectl airgap relocate -f MANIFESTS --lock {place} -o OUT/\n"
        f"  helm relocate CHART --to {target} --lock {place} -o OUT/"
    )


def _say_left(prepared: Push) -> None:
    if prepared.left:
        count = plural(len(prepared.left), "referrer")
        render.say(f"{count} left in the bundle: the new index has another digest than the one referred to")
    for reference in prepared.left:
        render.say(f"  {reference}")


def _say_plan(prepared: Push, report: ReportFormat | None) -> None:
    if report is not None:
        print_plan(prepared.plan, report)
        return
    for publish in prepared.plan.images:
        state = "is there" if publish.complete else f"{publish.image.root.digest}"
        render.names([f"{publish.image.reference} -> {publish.target} ({state})"])
    todo = prepared.plan
    cost = f"{size(todo.bytes)} in {plural(len(todo.copies), 'blob')}, about {plural(todo.requests, 'request')}"
    render.say(f"would send {cost}")
    _say_left(prepared)
