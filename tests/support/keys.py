"""Pairs of keys, as files that openssl would write too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airgap.bundles.keys import SigningKey, VerifyingKey, read_signing_key, read_verifying_key

PASSPHRASE = "correct horse"


@dataclass(frozen=True)
class Pair:
    """A private key and its public half."""

    private: Path
    public: Path

    def signing(self) -> SigningKey:
        return read_signing_key(self.private, no_passphrase)

    def verifying(self) -> VerifyingKey:
        return read_verifying_key(self.public)


def no_passphrase() -> bytes:
    raise AssertionError("a passphrase was asked for")


def ecdsa_pair(directory: Path, name: str = "sign", **more: Any) -> Pair:
    return pair_of(ec.generate_private_key(ec.SECP256R1()), directory, name, **more)


def ed25519_pair(directory: Path, name: str = "sign", **more: Any) -> Pair:
    return pair_of(ed25519.Ed25519PrivateKey.generate(), directory, name, **more)


def pair_of(
    key: Any, directory: Path, name: str, *, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: str = ""
) -> Pair:
    """Write a key of any kind."""
    pair = Pair(directory / f"{name}.key", directory / f"{name}.pub")
    locked: KeySerializationEncryption = NoEncryption()
    if passphrase:
        locked = BestAvailableEncryption(passphrase.encode())
    pair.private.write_bytes(key.private_bytes(Encoding.PEM, form, locked))
    pair.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pair
