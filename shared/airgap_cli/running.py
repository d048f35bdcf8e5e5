"""From flags to a run: workers, access to registries, progress."""

from __future__ import annotations

from collections.abc import Iterable

from airgap.operations.environment import Access, Run
from airgap_cli.options import RegistryFlags
from airgap_cli.progress import Progress
from airgap_cli.words import parse_rate


def access_of(flags: RegistryFlags, mirrors: Iterable[str] = ()) -> Access:
    """The core's form of `RegistryFlags` and `Mirror`."""
    return Access(
        mirrors=tuple(mirrors),
        ca_file=flags.ca_file,
        plain_http=tuple(flags.plain_http or ()),
        unverified=tuple(flags.insecure_skip_tls_verify or ()),
        rate=parse_rate(flags.rate) if flags.rate else 0,
    )


def run_of(flags: RegistryFlags, workers: int, progress: Progress, mirrors: Iterable[str] = ()) -> Run:
    """A run that tells `progress` how it goes."""
    return Run(access_of(flags, mirrors), workers, progress)
