"""From flags to a run: workers, access to registries, progress."""

from __future__ import annotations

from airgap.operations.environment import Access, Run
from airgap_cli.options import RegistryFlags
from airgap_cli.progress import Progress


def access_of(flags: RegistryFlags) -> Access:
    """The core's form of `RegistryFlags`."""
    return Access(
        mirrors=tuple(flags.mirror or ()),
        ca_file=flags.ca_file,
        plain_http=tuple(flags.plain_http or ()),
        unverified=tuple(flags.insecure_skip_tls_verify or ()),
    )


def run_of(flags: RegistryFlags, workers: int, progress: Progress) -> Run:
    """A run that tells `progress` how it goes."""
    return Run(access_of(flags), workers, progress)
