"""Signing a bundle that is there already."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.bundles.composition import INVENTORY_FILE, digest_of
from airgap.bundles.inventory import Inventory
from airgap.bundles.keys import SigningKey
from airgap.bundles.reader import Bundle
from airgap.bundles.signing import sealed
from airgap.errors import StoreError, UntrustedBundle
from airgap.operations import places
from airgap.operations.environment import Run


@dataclass(frozen=True)
class Signed:
    """What was signed, and whether an earlier signature had to give way."""

    inventory: Inventory
    digest: str
    replaced: bool


def sign(place: str, key: SigningKey, run: Run) -> Signed:
    """Sign the inventory of a bundle; a signature that it has already is replaced.

    The inventory says what is in the bundle, and it is read before it is signed; that all of it is there is what
    `verify` proves.

    Raises:
        UntrustedBundle: the run has keys, and none of them has signed it so far.
        InvalidInput: it lies where it cannot be signed. DamagedBundle: it is no bundle.
        NoSpace: before the first byte: a bundle without a signature is written anew.
    """
    with _opened(place, run) as bundle:
        inventory, replaced = bundle.inventory, bundle.is_signed
        examined = bundle.documents[INVENTORY_FILE]

    def make(found: bytes) -> bytes:
        if found != examined:
            raise StoreError(f"`{place}` was changed by somebody else just now", hint="type it again")
        return sealed(key, found)

    places.put_signature(place, make, run)
    return Signed(inventory, digest_of(examined), replaced)


def _opened(place: str, run: Run) -> Bundle:
    try:
        return places.open_bundle(place, run)
    except UntrustedBundle as error:
        error.hint = "to sign it all the same, leave out --verify-key, and unset AIRGAP_VERIFY_KEY"
        raise
