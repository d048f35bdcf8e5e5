"""How the outside is reached in a run: registries with their certificates and mirrors, and the switch that stops it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airgap import limits
from airgap.bundles.freshness import Freshness
from airgap.bundles.signing import ANYBODY, Keyring
from airgap.transfer import events
from airgap.transfer.engine import Conduct

if TYPE_CHECKING:
    from airgap.stores.registry import RegistryStore


@dataclass(frozen=True)
class Access:
    """What the user said about registries.

    Attributes:
        mirrors: `HOST=MIRROR[/PREFIX]`, besides containers' `registries.conf`.
        ca_file: certificates to trust besides the system's.
        plain_http: hosts without TLS.
        unverified: hosts whose certificate is not checked.
    """

    mirrors: tuple[str, ...] = ()
    ca_file: Path | None = None
    plain_http: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()


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

    def sources(self) -> RegistryStore:
        """Registries to read from, through mirrors."""
        return _store(self, mirrored=True)

    def target(self) -> RegistryStore:
        """Registries to write to: at their own address, whatever mirrors there are for reading."""
        return _store(self, mirrored=False)


def _store(run: Run, *, mirrored: bool) -> RegistryStore:
    from airgap.stores.registry import Connections, Mirrors, RegistryStore, Trust
    from airgap.stores.registry.retry import Patience

    access = run.access
    mirrors = Mirrors.of(access.mirrors) if mirrored else Mirrors()
    trust = Trust.of(access.ca_file, access.plain_http, access.unverified)
    connections = Connections(trust, workers=run.workers, patience=Patience(run.stopped))
    return RegistryStore(connections, mirrors)
