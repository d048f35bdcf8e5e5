"""From flags to a run: workers, access to registries, progress."""

from __future__ import annotations

from collections.abc import Iterable

from airgap.operations.environment import Access, Run
from airgap_cli.options import BucketFlags, RegistryFlags
from airgap_cli.progress import Progress
from airgap_cli.words import parse_rate

_NO_BUCKETS = BucketFlags()


def access_of(flags: RegistryFlags, mirrors: Iterable[str] = (), buckets: BucketFlags = _NO_BUCKETS) -> Access:
    """The core's form of `RegistryFlags`, `Mirror` and `BucketFlags`."""
    return Access(
        mirrors=tuple(mirrors),
        ca_file=flags.ca_file,
        plain_http=tuple(flags.plain_http or ()),
        unverified=tuple(flags.insecure_skip_tls_verify or ()),
        rate=parse_rate(flags.rate) if flags.rate else 0,
        s3_endpoint=buckets.s3_endpoint,
        s3_profile=buckets.s3_profile,
    )


def run_of(
    flags: RegistryFlags,
    workers: int,
    progress: Progress,
    mirrors: Iterable[str] = (),
    buckets: BucketFlags = _NO_BUCKETS,
) -> Run:
    """A run that tells `progress` how it goes."""
    return Run(access_of(flags, mirrors, buckets), workers, progress)
