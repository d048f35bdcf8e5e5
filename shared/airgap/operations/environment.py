"""How the outside is reached in a run: registries with their certificates and mirrors, and the switch that stops it."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airgap import limits
from airgap.bundles.freshness import Freshness
from airgap.bundles.signing import ANYBODY, Keyring
from airgap.stores.pace import Pace
from airgap.transfer import events
from airgap.transfer.engine import Conduct

if TYPE_CHECKING:
    from airgap.stores.registry import Connections, RegistryStore
    from airgap.stores.registry.courtesy import Allowance
    from airgap.stores.registry.uploads import Uploads
    from airgap.stores.s3.location import Location
    from airgap.stores.s3.store import BucketFiles


@dataclass(frozen=True)
class Access:
    """What the user said about registries and buckets.

    Attributes:
        mirrors: `HOST=MIRROR[/PREFIX]`, besides containers' `registries.conf`.
        ca_file: certificates to trust besides the system's.
        plain_http: hosts without TLS.
        unverified: hosts whose certificate is not checked.
        rate: bytes a second that may move at most, all transfers of the run together; 0 is no limit.
        s3_endpoint: URL of an S3 store that is not Amazon's; else the AWS environment decides.
        s3_profile: in the AWS configuration; else as AWS tools choose it.
    """

    mirrors: tuple[str, ...] = ()
    ca_file: Path | None = None
    plain_http: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    rate: int = 0
    s3_endpoint: str = ""
    s3_profile: str = ""


@dataclass(frozen=True)
class Run:
    """One run's workers, its observer, and the event that stops all of it.

    Attributes:
        keys: of which one must have signed any bundle that is opened; without any, nobody needs to.
        freshness: what a bundle is compared with before it changes anything; None means with nothing.
    """

    access: Access = field(default_factory=Access)
    workers: int = limits.WORKERS
    observe: events.Observer = events.silent
    stopped: threading.Event = field(default_factory=threading.Event)
    keys: Keyring = ANYBODY
    freshness: Freshness | None = None

    def conduct(self, *, keep_going: bool = False) -> Conduct:
        """How the engine is to run a plan in this run."""
        return Conduct(self.workers, self.observe, self.stopped, keep_going)

    @functools.cached_property
    def pace(self) -> Pace:
        """The limit over everything that the run sends and receives."""
        return Pace(self.access.rate, self.stopped)

    @functools.cached_property
    def connections(self) -> Connections:
        """The connections of the run: whoever reads and whoever writes share logins, limits and manners."""
        from airgap.stores.registry import Connections, Trust
        from airgap.stores.registry.retry import Patience

        access = self.access
        trust = Trust.of(access.ca_file, access.plain_http, access.unverified)
        patience = Patience(self.stopped)
        return Connections(trust, workers=self.workers, patience=patience, pace=self.pace, note=self._note)

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """What the hosts that were asked still allow, as far as they say so."""
        return self.connections.courtesy.allowances

    def sources(self) -> RegistryStore:
        """Registries to read from, through mirrors."""
        from airgap.stores.registry import Mirrors, RegistryStore

        return RegistryStore(self.connections, Mirrors.of(self.access.mirrors))

    def target(self, uploads: Uploads | None = None) -> RegistryStore:
        """Registries to write to: at their own address, whatever mirrors there are for reading."""
        from airgap.stores.registry import RegistryStore

        return RegistryStore(self.connections, uploads=uploads)

    def bucket(self, location: Location) -> BucketFiles:
        """The files of a bundle in a bucket."""
        from airgap.stores.registry import Trust
        from airgap.stores.registry.retry import Patience
        from airgap.stores.s3.client import S3Access
        from airgap.stores.s3.store import BucketFiles

        access = self.access
        trust = Trust.of(access.ca_file, access.plain_http, access.unverified)
        reached = S3Access(
            access.s3_endpoint, access.s3_profile, trust, Patience(self.stopped), self.workers, self.pace
        )
        return BucketFiles(location, reached)

    def _note(self, text: str) -> None:
        self.observe(events.Note(text))
