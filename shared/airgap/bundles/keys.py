"""Keys that sign and keys that verify: PEM files with ECDSA P-256 or Ed25519, and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airgap import durable, limits
from airgap.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

Passphrase = Callable[[], bytes]
"""Asks for the passphrase of the key; called for a key that has one, and for no other."""

ECDSA: Final = "ECDSA P-256"
ED25519: Final = "Ed25519"

_LABEL: Final = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,60})-----", re.MULTILINE)
_PARAMETERS: Final = "EC PARAMETERS"  # what `openssl ecparam -genkey` writes in front of the key
_PUBLIC: Final = "PUBLIC KEY"
_PRIVATE: Final = ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY")
_MAKE: Final = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sign.key"
_MAKE_ONE: Final = f"make one: {_MAKE}"
_PUBLISH: Final = "openssl pkey -in sign.key -pubout -out sign.pub"
_COSIGN: Final = (
    "a private key in cosign's own format",
    f"make a key that both can use: {_MAKE}; cosign takes it over with: cosign import-key-pair --key sign.key",
)
_OTHERS: Final = {
    "ENCRYPTED SIGSTORE PRIVATE KEY": _COSIGN,
    "ENCRYPTED COSIGN PRIVATE KEY": _COSIGN,
    "OPENSSH PRIVATE KEY": ("a private key in OpenSSH's own format", _MAKE_ONE),
    "RSA PRIVATE KEY": ("an RSA key", _MAKE_ONE),
    "DSA PRIVATE KEY": ("a DSA key", _MAKE_ONE),
    "RSA PUBLIC KEY": ("an RSA key", _MAKE_ONE),
    "CERTIFICATE": ("a certificate", "take the key out of it: openssl x509 -in FILE -pubkey -noout -out sign.pub"),
}


@dataclass(frozen=True)
class VerifyingKey:
    """A public key.

    Attributes:
        place: the file it was read from.
        kind: `ECDSA P-256` or `Ed25519`.
        fingerprint: `sha256:` and the hash of its SubjectPublicKeyInfo (RFC 5280, 4.1), as DER.
    """

    place: str
    kind: str
    fingerprint: str
    _key: Any = field(repr=False, compare=False)

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Whether the other half of this key has signed these bytes."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data, *_scheme(self.kind))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A private key, and the public one that belongs to it."""

    public: VerifyingKey
    _key: Any = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """The raw signature: DER for ECDSA, 64 bytes for Ed25519. The same key and bytes give the same signature."""
        return bytes(self._key.sign(data, *_scheme(self.public.kind)))


def read_signing_key(path: Path, passphrase: Passphrase) -> SigningKey:
    """Read a private key: PKCS#8, plain or encrypted, or plain SEC1.

    Raises:
        InvalidInput: no such file, not such a key, or a passphrase that does not open it.
    """
    from cryptography.hazmat.primitives import serialization

    data = _read(path)
    labels = _labels(data, path)
    if labels[0] not in _PRIVATE:
        raise _other(path, labels[0], "sign with the private key that belongs to it", "a private key")
    if b"Proc-Type:" in data:  # RFC 1421's encryption: weak, and a damaged header of it ends the library in a panic
        hint = f"write it anew: openssl pkcs8 -topk8 -in {path} -out NEW"
        raise InvalidInput(f"the private key `{path}` is encrypted in a way of old", hint=hint)
    password = passphrase() if labels[0].startswith("ENCRYPTED") else None
    try:
        key: Any = serialization.load_pem_private_key(data, password)
    except Exception as error:  # the library's own, ValueError, TypeError: all of them mean this file
        why = "does not open with this passphrase" if password is not None else "is damaged"
        raise InvalidInput(f"the private key `{path}` {why}") from error
    return SigningKey(_checked(path, key.public_key()), key)


def read_verifying_key(path: Path) -> VerifyingKey:
    """Read a public key.

    Raises:
        InvalidInput: no such file, or not such a key.
    """
    from cryptography.hazmat.primitives import serialization

    data = _read(path)
    labels = _labels(data, path)
    if labels[0] != _PUBLIC:
        raise _other(path, labels[0], f"bring its public half over, and leave it at home: {_PUBLISH}", "a public key")
    if len(labels) > 1:
        raise InvalidInput(f"`{path}` holds {len(labels)} keys", hint="put each into a file of its own, and name both")
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as error:
        raise InvalidInput(f"the public key `{path}` is damaged") from error
    return _checked(path, key)


def _read(path: Path) -> bytes:
    with durable.explained(path), path.open("rb") as file:
        data = file.read(limits.KEY_FILE + 1)
    if len(data) > limits.KEY_FILE:
        raise InvalidInput(f"`{path}` is no key: it is larger than {limits.KEY_FILE} bytes")
    return data


def _labels(data: bytes, path: Path) -> list[str]:
    """What the PEM blocks of a file say they are (RFC 7468)."""
    labels = [label.decode("ascii") for label in _LABEL.findall(data)]
    found = [label for label in labels if label != _PARAMETERS]
    if not found:
        what = "is empty" if not data.strip() else "is no key in PEM form"
        raise InvalidInput(f"`{path}` {what}", hint=f"a pair is made with: {_MAKE}; {_PUBLISH}")
    return found


def _other(path: Path, label: str, swapped: str, wanted: str) -> InvalidInput:
    """What a file is that is not what was wanted."""
    if label in _OTHERS:
        what, hint = _OTHERS[label]
    elif label == _PUBLIC:
        what, hint = "a public key", swapped
    elif label in _PRIVATE:
        what, hint = "a private key", swapped
    else:
        what, hint = f"a {label.lower()!r}", _MAKE_ONE
    return InvalidInput(f"`{path}` is {what}, and {wanted} for {ECDSA} or {ED25519} is wanted", hint=hint)


def _checked(path: Path, public: Any) -> VerifyingKey:
    """A key of one of the two kinds.

    Raises:
        InvalidInput: of another kind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(public, ed25519.Ed25519PublicKey):
        kind = ED25519
    elif isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        kind = ECDSA
    else:
        what = _description(public)
        raise InvalidInput(f"`{path}` is {what}; {ECDSA} and {ED25519} are what we sign with", hint=_MAKE_ONE)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return VerifyingKey(str(path), kind, f"sha256:{hashlib.sha256(der).hexdigest()}", public)


def _description(public: Any) -> str:
    algorithm = type(public).__name__.removesuffix("PublicKey")
    if curve := getattr(public, "curve", None):
        return f"an elliptic curve key on {curve.name}"
    size = getattr(public, "key_size", 0)
    return f"a key for {algorithm}" + (f" of {size} bits" if size else "")


def _scheme(kind: str) -> tuple[ec.ECDSA, ...]:
    """What the library wants to be told besides key and bytes: for ECDSA the hash, and RFC 6979 in place of chance."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return (ec.ECDSA(hashes.SHA256(), deterministic_signing=True),) if kind == ECDSA else ()
