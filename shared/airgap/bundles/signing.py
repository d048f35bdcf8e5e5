"""The signature over an inventory: how it is written down, and whose is believed.

What is signed is the inventory's bytes as they are, and the inventory names all else by digest. The form is cosign's
for blobs: base64 of the raw signature, and a newline (docs/bundle-format.md, "The signature").
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from dataclasses import dataclass
from typing import Final

from airgap import limits
from airgap.bundles.keys import ECDSA, ED25519, SigningKey, VerifyingKey
from airgap.errors import UntrustedBundle

_AGAIN: Final = "get it again from where it was made; what is in it may be somebody else's"


@dataclass(frozen=True)
class Keyring:
    """The keys of which one must have signed; without any, nobody's signature is asked for."""

    keys: tuple[VerifyingKey, ...] = ()

    def check(self, inventory: bytes, signature: bytes | None, place: str) -> VerifyingKey | None:
        """Find the key that has signed an inventory, before anything in it is believed.

        Args:
            inventory: its exact bytes, not yet read.
            signature: the content of `airgap-inventory.sig`, or None where there is none.
            place: how to call the bundle in an error.

        Returns:
            The key, or None where no key was given to check with.

        Raises:
            UntrustedBundle: there are keys, and none of them has signed it.
        """
        if not self.keys:
            return None
        if signature is None:
            raise UntrustedBundle(
                f"`{place}` is not signed, and a key to verify it with is given",
                hint=f"have it signed where it was made: kubectl airgap sign {place} --key PRIVATE-KEY",
            )
        raw = _raw(signature, place)
        found = next((key for key in self.keys if key.accepts(raw, inventory)), None)
        if found is None:
            raise UntrustedBundle(_refusal(raw, self.keys, place), hint=_AGAIN)
        return found


ANYBODY: Final = Keyring()
"""Believes everybody: for those who were given no key."""


def sealed(key: SigningKey, inventory: bytes) -> bytes:
    """The content of `airgap-inventory.sig`."""
    return _written(key.sign(inventory))


def _written(raw: bytes) -> bytes:
    return base64.b64encode(raw) + b"\n"


def _raw(signature: bytes, place: str) -> bytes:
    """The raw signature; there is one way to write it down, so that no bit of it can flip unnoticed."""
    if not signature.strip():
        raise UntrustedBundle(f"the signature of `{place}` is empty", hint=_AGAIN)
    if len(signature) > limits.SIGNATURE:
        raise UntrustedBundle(f"the signature of `{place}` is larger than {limits.SIGNATURE} bytes", hint=_AGAIN)
    with contextlib.suppress(binascii.Error):
        raw = base64.b64decode(signature)
        if _written(raw) == signature:
            return raw
    raise UntrustedBundle(f"the signature of `{place}` is damaged: it is not base64 and a newline", hint=_AGAIN)


def _refusal(raw: bytes, keys: tuple[VerifyingKey, ...], place: str) -> str:
    """Which check has failed: another kind of signature, another key, or another inventory."""
    kind = _kind(raw)
    if kind not in {key.kind for key in keys}:
        wanted = " or ".join(sorted({key.kind for key in keys}))
        found = kind or f"of no kind that is known, with {len(raw)} bytes"
        return f"the signature of `{place}` is {found}, and the key given is for {wanted}"
    names = ", ".join(f"`{key.place}`" for key in keys)
    return f"`{place}` was not signed with {names}, or its inventory was altered since"


def _kind(raw: bytes) -> str:
    """What a raw signature looks like: 64 bytes, or a DER sequence of two numbers of at most 33 bytes each."""
    if len(raw) == 64:
        return ED25519
    is_sequence = 8 <= len(raw) <= 72 and raw[0] == 0x30 and raw[1] == len(raw) - 2
    return ECDSA if is_sequence else ""
