from __future__ import annotations

import base64
import contextlib
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import PrivateFormat
from tests.support.keys import PASSPHRASE, Pair, ecdsa_pair, ed25519_pair, no_passphrase, pair_of
from tests.support.tools import require

from airgap.bundles.keys import ECDSA, ED25519, read_signing_key, read_verifying_key
from airgap.errors import AirgapError, InvalidInput

PAIRS = {"ecdsa": ecdsa_pair, "ed25519": ed25519_pair}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return PAIRS[request.param](tmp_path)


def test_the_public_half_accepts_what_the_private_half_signed_and_nothing_else(pair: Pair) -> None:
    signature = pair.signing().sign(b"inventory")
    key = pair.verifying()
    assert key.accepts(signature, b"inventory")
    assert not key.accepts(signature, b"inventorz")
    assert not key.accepts(signature[:-1], b"inventory")
    assert not key.accepts(b"", b"inventory")


def test_one_key_signs_the_same_bytes_the_same_way_so_that_signed_bundles_are_reproducible(pair: Pair) -> None:
    assert pair.signing().sign(b"inventory") == pair.signing().sign(b"inventory")


def test_both_halves_have_one_fingerprint_and_it_is_that_of_openssl(pair: Pair) -> None:
    openssl = require("openssl")
    der = subprocess.run(
        [openssl, "pkey", "-pubin", "-in", str(pair.public), "-outform", "DER"], capture_output=True, check=True
    ).stdout
    digest = subprocess.run([openssl, "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout
    assert pair.verifying().fingerprint == f"sha256:{digest.split()[0].decode()}"
    assert pair.signing().public.fingerprint == pair.verifying().fingerprint


@pytest.mark.parametrize(
    ("form", "passphrase"),
    [
        (PrivateFormat.PKCS8, ""),
        (PrivateFormat.PKCS8, PASSPHRASE),
        (PrivateFormat.TraditionalOpenSSL, ""),
    ],
)
def test_an_ecdsa_key_is_read_in_every_form_that_openssl_writes_today(
    tmp_path: Path, form: PrivateFormat, passphrase: str
) -> None:
    pair = ecdsa_pair(tmp_path, form=form, passphrase=passphrase)
    ask = PASSPHRASE.encode if passphrase else no_passphrase
    assert read_signing_key(pair.private, ask).public.kind == ECDSA


def test_a_key_behind_its_curve_parameters_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sign.key"
    subprocess.run([require("openssl"), "ecparam", "-name", "prime256v1", "-genkey", "-out", str(path)], check=True)
    assert path.read_text().startswith("-----BEGIN EC PARAMETERS")
    assert read_signing_key(path, no_passphrase).public.kind == ECDSA


def test_a_key_that_is_encrypted_in_a_way_of_old_is_refused_with_what_makes_it_new(tmp_path: Path) -> None:
    pair = ecdsa_pair(tmp_path, form=PrivateFormat.TraditionalOpenSSL, passphrase=PASSPHRASE)
    with pytest.raises(InvalidInput, match="in a way of old") as caught:
        read_signing_key(pair.private, PASSPHRASE.encode)
    new = tmp_path / "NEW"
    words = caught.value.hint.partition("openssl ")[2].replace("NEW", str(new)).split()
    secrets = ["-passin", f"pass:{PASSPHRASE}", "-passout", f"pass:{PASSPHRASE}"]
    subprocess.run([require("openssl"), *words, *secrets], check=True, capture_output=True)
    assert read_signing_key(new, PASSPHRASE.encode).public == replace(pair.verifying(), place=str(new))


def test_an_encrypted_ed25519_key_is_read(tmp_path: Path) -> None:
    pair = ed25519_pair(tmp_path, passphrase=PASSPHRASE)
    assert read_signing_key(pair.private, PASSPHRASE.encode).public.kind == ED25519


@pytest.mark.parametrize("passphrase", [b"battery staple", b"", b"\xff\x00"])
def test_a_wrong_passphrase_is_said_to_be_wrong_and_not_repeated(tmp_path: Path, passphrase: bytes) -> None:
    pair = ecdsa_pair(tmp_path, passphrase=PASSPHRASE)
    with pytest.raises(InvalidInput, match="does not open with this passphrase") as caught:
        read_signing_key(pair.private, lambda: passphrase)
    assert "staple" not in caught.value.message + caught.value.hint


def test_a_key_is_not_shown_where_it_is_printed(pair: Pair) -> None:
    assert "PrivateKey" not in repr(pair.signing())


def rsa_pair(tmp_path: Path) -> Pair:
    return pair_of(rsa.generate_private_key(65537, 1024), tmp_path, "other")


KINDS: dict[str, Any] = {
    "rsa-1024": (rsa_pair, "RSA of 1024 bits"),
    "p-384": (
        lambda d: pair_of(ec.generate_private_key(ec.SECP384R1()), d, "other"),
        "elliptic curve key on secp384r1",
    ),
    "secp256k1": (lambda d: pair_of(ec.generate_private_key(ec.SECP256K1()), d, "other"), "secp256k1"),
    "ed448": (lambda d: pair_of(ed448.Ed448PrivateKey.generate(), d, "other"), "Ed448"),
    "x25519": (lambda d: pair_of(x25519.X25519PrivateKey.generate(), d, "other"), "X25519"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_b74_a_key_of_another_kind_is_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    make, words = KINDS[kind]
    pair = make(tmp_path)
    for read in (lambda: read_signing_key(pair.private, no_passphrase), lambda: read_verifying_key(pair.public)):
        with pytest.raises(InvalidInput, match=words) as caught:
            read()
        assert "openssl genpkey" in caught.value.hint


def pem(label: str, body: bytes = b'{"kdf":{"name":"scrypt"}}') -> bytes:
    return f"-----BEGIN {label}-----\n{base64.b64encode(body).decode()}\n-----END {label}-----\n".encode()


NO_PRIVATE_KEY = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "json": (b'{"kty":"EC"}', "no key in PEM form"),
    "bytes": (bytes(range(256)), "no key in PEM form"),
    "endless": (b"-" * 100_000, "larger than"),
    "sigstore": (pem("ENCRYPTED SIGSTORE PRIVATE KEY"), "cosign's own format"),
    "cosign": (pem("ENCRYPTED COSIGN PRIVATE KEY"), "cosign's own format"),
    "openssh": (pem("OPENSSH PRIVATE KEY"), "OpenSSH's own format"),
    "rsa": (pem("RSA PRIVATE KEY"), "an RSA key"),
    "certificate": (pem("CERTIFICATE"), "a certificate"),
    "unknown": (pem("PGP MESSAGE"), "pgp message"),
    "damaged": (pem("PRIVATE KEY"), "is damaged"),
    "damaged-sec1": (pem("EC PRIVATE KEY"), "is damaged"),
    "parameters-only": (pem("EC PARAMETERS"), "no key in PEM form"),
    "no-end": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", "is damaged"),
}


@pytest.mark.parametrize("case", NO_PRIVATE_KEY)
def test_b74_what_is_no_private_key_is_said_to_be_none_in_one_line(tmp_path: Path, case: str) -> None:
    data, words = NO_PRIVATE_KEY[case]
    path = tmp_path / "sign.key"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=words) as caught:
        read_signing_key(path, no_passphrase)
    assert "\n" not in caught.value.message


NO_PUBLIC_KEY = {
    "empty": (b"", "is empty"),
    "json": (b'{"kty":"EC"}', "no key in PEM form"),
    "certificate": (pem("CERTIFICATE"), "a certificate"),
    "damaged": (pem("PUBLIC KEY"), "is damaged"),
    "two": (pem("PUBLIC KEY") * 2, "holds 2 keys"),
}


@pytest.mark.parametrize("case", NO_PUBLIC_KEY)
def test_b74_what_is_no_public_key_is_said_to_be_none_in_one_line(tmp_path: Path, case: str) -> None:
    data, words = NO_PUBLIC_KEY[case]
    path = tmp_path / "sign.pub"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=words) as caught:
        read_verifying_key(path)
    assert "\n" not in caught.value.message


def test_b74_halves_that_were_swapped_are_told_apart(pair: Pair) -> None:
    with pytest.raises(InvalidInput, match="is a public key, and a private key") as public:
        read_signing_key(pair.public, no_passphrase)
    with pytest.raises(InvalidInput, match="is a private key, and a public key") as private:
        read_verifying_key(pair.private)
    assert "private key that belongs to it" in public.value.hint
    assert "leave it at home" in private.value.hint


def test_cosigns_own_keys_are_refused_with_a_key_that_both_can_use(tmp_path: Path) -> None:
    path = tmp_path / "cosign.key"
    path.write_bytes(pem("ENCRYPTED SIGSTORE PRIVATE KEY"))
    with pytest.raises(InvalidInput) as caught:
        read_signing_key(path, no_passphrase)
    assert "cosign import-key-pair --key" in caught.value.hint


@pytest.mark.parametrize("name", ["missing.key", "."])
def test_a_key_that_is_not_there_is_an_error_with_its_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(AirgapError, match=str(tmp_path)):
        read_signing_key(tmp_path / name, no_passphrase)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to three bits, bytes or pieces of it changed, put in or left out."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(changed))
        piece = rng.choice((b"", bytes([changed[place] ^ 1 << rng.randrange(8)]), rng.randbytes(rng.randrange(20))))
        changed[place : place + rng.choice((0, 1, 1, 20))] = piece
        changed = changed or bytearray(b"-")
    return bytes(changed)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_b74_a_damaged_key_is_a_clear_error_or_still_a_key(tmp_path: Path, pair: Pair, passphrase: str) -> None:
    """Seeded; half of the damage is in the text, half in what it encodes."""
    rng = random.Random(74)
    if passphrase:
        pair = ecdsa_pair(tmp_path, passphrase=passphrase)
    path = tmp_path / "damaged"
    for whole in (pair.private.read_bytes(), pair.public.read_bytes()):
        label = whole.splitlines()[0][11:-5].decode()
        body = base64.b64decode(b"".join(whole.splitlines()[1:-1]))
        for number in range(150):
            path.write_bytes(mutated(whole, rng) if number % 2 else pem(label, mutated(body, rng)))
            for read in (lambda: read_signing_key(path, PASSPHRASE.encode), lambda: read_verifying_key(path)):
                with contextlib.suppress(AirgapError):
                    assert read() is not None
