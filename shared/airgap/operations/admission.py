"""Whether a bundle may change anything: compared with the last one of its series, and with the clock."""

from __future__ import annotations

from airgap.bundles.composition import INVENTORY_FILE, digest_of
from airgap.bundles.freshness import Freshness, Stamp, Verdict, judge
from airgap.bundles.reader import Bundle
from airgap.errors import UntrustedBundle
from airgap.operations.environment import Run
from airgap.transfer import events


def examine(bundle: Bundle, run: Run) -> None:
    """Tell what would stop the bundle elsewhere, and what a person should know of it."""
    if run.freshness is not None:
        _tell(_verdict(bundle, run.freshness, run).words, run)


def admit(bundle: Bundle, run: Run) -> None:
    """Stop a bundle that must not go on; what the user allowed is told like the rest.

    Raises:
        UntrustedBundle: it is older than the last one, or expired.
    """
    if run.freshness is None:
        return
    verdict = _verdict(bundle, run.freshness, run)
    if verdict.older and not run.freshness.allow_rollback:
        raise UntrustedBundle(verdict.older, hint="get the newest one; to go back on purpose: --allow-rollback")
    if verdict.expired and not run.freshness.allow_expired:
        raise UntrustedBundle(verdict.expired, hint="get a newer one; to use it all the same: --allow-expired")
    _tell(verdict.words, run)


def remember(bundle: Bundle, run: Run) -> None:
    """Take note that all of the bundle has arrived."""
    if run.freshness is not None:
        run.freshness.history.remember(_stamp(bundle), run.freshness.now, lambda text: _tell((text,), run))


def _verdict(bundle: Bundle, freshness: Freshness, run: Run) -> Verdict:
    stamp = _stamp(bundle)
    last = freshness.history.last(stamp, lambda text: _tell((text,), run))
    return judge(stamp, last, freshness.now)


def _stamp(bundle: Bundle) -> Stamp:
    inventory = bundle.inventory
    key = bundle.signer.fingerprint if bundle.signer else ""
    digest = digest_of(bundle.documents[INVENTORY_FILE])
    return Stamp(inventory.name, key, inventory.sequence, inventory.expires, digest)


def _tell(words: tuple[str, ...], run: Run) -> None:
    for text in words:
        run.observe(events.Note(text))
