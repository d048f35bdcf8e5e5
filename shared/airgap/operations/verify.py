"""Verifying: a bundle is whole, or what of it has to be carried over again."""

from __future__ import annotations

from airgap.bundles import verification
from airgap.bundles.reader import Bundle
from airgap.bundles.verification import Verification
from airgap.errors import ContentError
from airgap.operations.environment import Run
from airgap.stores.archive import ArchiveReader
from airgap.stores.parts import PartsMedium


def verify(bundle: Bundle, run: Run) -> Verification:
    """Prove a bundle; of one in parts, say which part is to blame.

    Raises:
        DamagedBundle: with each damaged object by name.
    """
    try:
        return verification.verify(bundle, workers=run.workers, observe=run.observe, stopped=run.stopped)
    except ContentError as error:
        _blame(error, bundle)
        raise


def _blame(error: ContentError, bundle: Bundle) -> None:
    """Tell of the parts that are not what they were: only they have to come again."""
    store = bundle.store
    if isinstance(store, ArchiveReader) and isinstance(store.medium, PartsMedium):
        names = store.medium.damaged()
        if names:
            error.message += "\ndamaged parts: " + ", ".join(f"`{name}`" for name in names)
            error.hint = f"send only {', '.join(names)} again, then verify again"
