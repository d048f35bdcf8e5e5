from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from airgap_cli import render
from airgap_cli.options import (
    BucketFlags,
    BundlePlace,
    DryRun,
    Quiet,
    RegistryFlags,
    Report,
    ReportFormat,
    RuntimeAddress,
    TargetFlags,
    flag,
    grouped,
)
from airgap_cli.reports import check_complete, print_report
from airgap_cli.trustflags import FreshnessFlags, TrustFlags
from airgap_cli.words import duration, plural, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap.operations.load import Loaded, Loading


@grouped
def load(
    bundle: BundlePlace,
    target: TargetFlags,
    trust: TrustFlags,
    freshness: FreshnessFlags,
    registries: RegistryFlags,
    buckets: BucketFlags,
    runtime: Annotated[
        str,
        flag("--runtime", help="docker, podman, containerd or nerdctl; else the one that is here.", metavar="RUNTIME"),
    ] = "",
    address: RuntimeAddress = "",
    namespace: Annotated[
        str,
        flag("--containerd-namespace", "--namespace", help="Namespace of containerd, if not k8s.io.", metavar="NAME"),
    ] = "",
    platform: Annotated[
        str, flag("--platform", help="Instead of this machine's, such as linux/arm64.", metavar="OS/ARCH")
    ] = "",
    pin: Annotated[
        bool, flag("--pin", help="Keep the images from the kubelet's garbage collection (containerd only).")
    ] = False,
    keep_names: Annotated[
        bool, flag("--keep-names", help="With --to or --lock: under their own names as well.")
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    report: Report = None,
) -> None:
    """Put a bundle's images into docker, podman or containerd.

    They are streamed into the runtime's own importer; what it has already is not sent again. Each name is asked for
    again afterwards, and printed. For clusters without a registry: on every node.

    \b
    Examples:
      kubectl airgap load app.tar
      kubectl airgap load app.tar --runtime containerd --pin
      kubectl airgap load app.tar --runtime docker --to registry.internal:5000/apps
    """
    from airgap.adapters.runtimes.choice import Choice, choose
    from airgap.operations import load as operation
    from airgap.operations import relocate
    from airgap.operations.environment import Run
    from airgap.operations.places import open_bundle
    from airgap.platforms import Platform
    from airgap_cli.progress import Progress
    from airgap_cli.running import access_of
    from airgap_cli.trustflags import trusting

    moved = bool(target.to or target.lock)
    wishes = operation.Wishes(
        platform=Platform.parse(platform) if platform else None,
        relocation=relocate.rule(target.to, target.naming, target.lock) if moved else None,
        keep_names=keep_names,
        pin=pin,
    )
    with Progress("loading", quiet=quiet) as progress:
        run = trusting(Run(access_of(registries, buckets=buckets), observe=progress), trust.verify_key, freshness)
        chosen = choose(Choice(runtime, address, namespace))
        with open_bundle(bundle, run) as opened:
            prepared = operation.prepare(opened, chosen, wishes, run)
            if dry_run:
                _say_plan(prepared, report)
                check_complete(prepared.nameless, "loaded")
                return
            loaded = operation.execute(prepared, run)
        seconds = progress.seconds
    if report is not None:
        print_report(loaded.report, report)
    if not quiet:
        _say(loaded, prepared, seconds, listing=report is None)
    check_complete(loaded.failures, "loaded")


def _say(loaded: Loaded, prepared: Loading, seconds: float, *, listing: bool) -> None:
    done, runtime = loaded.report, prepared.runtime
    if listing:
        render.names(str(outcome.target) for outcome in done.outcomes)
    sent = f"{size(done.bytes)} sent in {duration(seconds)}" if done.bytes else "nothing was left to send"
    names = plural(len(done.outcomes), "name")
    render.say(f"loaded into {runtime.place}: {sent}; {names} asked for again and right")
    if runtime.has_content:
        pinned = "; `crictl images -o json` says which are pinned" if prepared.pin else ""
        render.say(f"\nnext: on this node `crictl images` lists them{pinned}; then\n  kubectl apply -f MANIFESTS")


def _say_plan(prepared: Loading, report: ReportFormat | None) -> None:
    if report is not None:
        render.document("TransferPlan", _planned(prepared), report, bytes=prepared.bytes)
        return
    for delivery in prepared.deliveries:
        for arrival in delivery.arrivals:
            state = "is there" if arrival.present and delivery.present else delivery.root.digest
            render.names([f"{arrival.image.reference} -> {arrival.name} ({state})"])
    render.say(f"would send {size(prepared.bytes)} to {prepared.runtime.place}")


def _planned(prepared: Loading) -> Iterator[dict[str, Any]]:
    for delivery in prepared.deliveries:
        for arrival in delivery.arrivals:
            yield {
                "source": str(arrival.image.reference),
                "digest": delivery.root.digest,
                "target": str(arrival.name),
                "present": arrival.present and delivery.present,
            }
