"""How the outside is reached in a run: registries with their certificates and mirrors, and the switch that stops it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airgap import limits
from airgap.transfer import events
from airgap.transfer.engine import Conduct

if TYPE_CHECKING:
    from airgap.stores.registry import RegistryStore
    from airgap.stores.s3 import BucketFiles, Location


@dataclass(frozen=True)
class Access:
    """What the user said about registries and buckets.

    Attributes:
        mirrors: `HOST=MIRROR[/PREFIX]`, besides containers' `registries.conf`.
        ca_file: certificates to trust besides the system's.
        plain_http: hosts without TLS.
        unverified: hosts whose certificate is not checked.
        s3_endpoint: URL of an S3 store that is not Amazon's; else the AWS environment decides.
        s3_profile: in the AWS configuration; else as AWS tools choose it.
    """

    mirrors: tuple[str, ...] = ()
    ca_file: Path | None = None
    plain_http: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    s3_endpoint: str = ""
    s3_profile: str = ""


@dataclass(frozen=True)
class Run:
    """One run's workers, its observer, and the event that stops all of it."""

    access: Access = field(default_factory=Access)
    workers: int = limits.WORKERS
    observe: events.Observer = events.silent
    stopped: threading.Event = field(default_factory=threading.Event)

    def conduct(self, *, keep_going: bool = False) -> Conduct:
        """How the engine is to run a plan in this run."""
        return Conduct(self.workers, self.observe, self.stopped, keep_going)

    def sources(self) -> RegistryStore:
        """Registries to read from, through mirrors."""
        return _store(self, mirrored=True)

    def target(self) -> RegistryStore:
        """Registries to write to: at their own address, whatever mirrors there are for reading."""
        return _store(self, mirrored=False)

    def bucket(self, location: Location) -> BucketFiles:
        """The files of a bundle in a bucket."""
        from airgap.stores.registry import Trust
        from airgap.stores.registry.retry import Patience
        from airgap.stores.s3 import BucketFiles, S3Access

        access = self.access
        trust = Trust.of(access.ca_file, access.plain_http, access.unverified)
        patience = Patience(self.stopped)
        return BucketFiles(location, S3Access(access.s3_endpoint, access.s3_profile, trust, patience, self.workers))


def _store(run: Run, *, mirrored: bool) -> RegistryStore:
    from airgap.stores.registry import Connections, Mirrors, RegistryStore, Trust
    from airgap.stores.registry.retry import Patience

    access = run.access
    mirrors = Mirrors.of(access.mirrors) if mirrored else Mirrors()
    trust = Trust.of(access.ca_file, access.plain_http, access.unverified)
    connections = Connections(trust, workers=run.workers, patience=Patience(run.stopped))
    return RegistryStore(connections, mirrors)
