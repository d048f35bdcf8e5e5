"""Inspecting: what is in a bundle, how large it is, and why it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from airgap.bundles import artifacts
from airgap.bundles.inventory import Item
from airgap.bundles.reader import Bundle
from airgap.references import Reference
from airgap.transfer import graph


@dataclass(frozen=True)
class Row:
    """One image, chart or set of files of a bundle.

    Attributes:
        kind: what it is; see `inventory.KINDS`.
        subject: id of the item that a referrer is about.
        size: bytes of all its content, in the bundle.
        shared: bytes of that which other images of the bundle use too.
        why: who asked for it.
        files: the names that its files have, where it is a set of some.
        referrers: how many others are about it, directly or not.
    """

    kind: str
    subject: str
    reference: Reference
    digest: str
    platforms: tuple[str, ...]
    size: int
    shared: int
    why: tuple[str, ...]
    files: tuple[str, ...] = ()
    referrers: int = 0


@dataclass(frozen=True)
class Contents:
    """Everything in a bundle, how many there are of what, and its size in bytes."""

    rows: tuple[Row, ...]
    counts: Mapping[str, int]
    blobs: int
    size: int

    @property
    def asked(self) -> tuple[Row, ...]:
        """What was asked for; not what came along with it."""
        return tuple(row for row in self.rows if not row.subject)


def contents(bundle: Bundle) -> Contents:
    """Read the manifests of a bundle and add up what hangs on them.

    Raises:
        ContentMismatch: a manifest is damaged.
        InvalidManifest: a set of files has a file that leads elsewhere.
    """
    walked = graph.walk(bundle.store, bundle.references, graph.among(bundle.digests))
    sizes = {blob.digest: blob.size for blob in bundle.inventory.blobs}
    content = {
        image.reference: {d.digest for d in (*walked.manifests_of(image), *walked.blobs_of(image))}
        for image in walked.images
    }
    users = Counter(digest for digests in content.values() for digest in digests)
    items = {item.reference: item for item in bundle.inventory.items}
    files = {reference: artifacts.titles_of(item, walked) for reference, item in items.items()}
    about = Counter(bundle.inventory.owners.values())
    rows = (_row(items[name], content[name], sizes, users, files[name]) for name in content)
    counted = tuple(replace(row, referrers=about[row.reference]) for row in rows)
    return Contents(counted, artifacts.tally(bundle.inventory.items, walked), len(sizes), bundle.store.size)


def _row(item: Item, digests: set[str], sizes: dict[str, int], users: Counter[str], files: tuple[str, ...]) -> Row:
    return Row(
        item.kind,
        item.subject,
        item.reference,
        item.digest,
        item.platforms,
        sum(sizes.get(digest, 0) for digest in digests),
        sum(sizes.get(digest, 0) for digest in digests if users[digest] > 1),
        tuple(f"{w.source}{f':{w.line}' if w.line else ''} {w.path}".strip() + f" ({w.certainty})" for w in item.why),
        files,
    )
