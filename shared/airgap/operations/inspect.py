"""Inspecting: what is in a bundle, how large it is, and why it is there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from airgap.bundles.inventory import Item
from airgap.bundles.reader import Bundle
from airgap.references import Reference
from airgap.transfer import graph


@dataclass(frozen=True)
class ImageRow:
    """One image of a bundle.

    Attributes:
        kind: what the inventory calls it.
        subject: id of the item that a referrer is about.
        size: bytes of all its content, in the bundle.
        shared: bytes of that which other images of the bundle use too.
        why: who asked for it.
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
    referrers: int = 0


@dataclass(frozen=True)
class Contents:
    """All items, and the bundle's size in bytes."""

    items: tuple[ImageRow, ...]
    blobs: int
    size: int

    @property
    def images(self) -> tuple[ImageRow, ...]:
        """What was asked for; not what came along with it."""
        return tuple(row for row in self.items if not row.subject)


def contents(bundle: Bundle) -> Contents:
    """Read the manifests of a bundle and add up what hangs on them.

    Raises:
        ContentMismatch: a manifest is damaged.
    """
    walked = graph.walk(bundle.store, bundle.references, graph.among(bundle.digests))
    sizes = {blob.digest: blob.size for blob in bundle.inventory.blobs}
    content = {
        image.reference: {d.digest for d in (*walked.manifests_of(image), *walked.blobs_of(image))}
        for image in walked.images
    }
    users = Counter(digest for digests in content.values() for digest in digests)
    items = {item.reference: item for item in bundle.inventory.items}
    about = Counter(bundle.inventory.owners.values())
    rows = (_row(items[image.reference], content[image.reference], sizes, users) for image in walked.images)
    counted = (replace(row, referrers=about[row.reference]) for row in rows)
    return Contents(tuple(counted), len(sizes), bundle.store.size)


def _row(item: Item, digests: set[str], sizes: dict[str, int], users: Counter[str]) -> ImageRow:
    return ImageRow(
        item.kind,
        item.subject,
        item.reference,
        item.digest,
        item.platforms,
        sum(sizes.get(digest, 0) for digest in digests),
        sum(sizes.get(digest, 0) for digest in digests if users[digest] > 1),
        tuple(f"{w.source}{f':{w.line}' if w.line else ''} {w.path}".strip() + f" ({w.certainty})" for w in item.why),
    )
