from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from tests.support.keys import Pair, ecdsa_pair, ed25519_pair
from tests.support.tools import require

from airgap.bundles.signing import Keyring, sealed
from airgap.errors import UntrustedBundle

INVENTORY = b'{"blobs":[],"name":"shop"}\n'
MAKERS = {"ecdsa": ecdsa_pair, "ed25519": ed25519_pair}


@pytest.fixture(params=MAKERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return MAKERS[request.param](tmp_path)


def keyring(*pairs: Pair) -> Keyring:
    return Keyring(tuple(pair.verifying() for pair in pairs))


def test_a_signature_is_the_base64_of_raw_bytes_and_one_newline(pair: Pair) -> None:
    member = sealed(pair.signing(), INVENTORY)
    raw = base64.b64decode(member, validate=False)
    assert member == base64.b64encode(raw) + b"\n"
    assert pair.verifying().accepts(raw, INVENTORY)


def test_an_ecdsa_signature_is_what_cosign_writes_for_a_blob_a_der_pair_of_numbers_over_sha256(tmp_path: Path) -> None:
    """That openssl takes it says the same with other means: it knows no form but that one."""
    pair = ecdsa_pair(tmp_path)
    inventory, signature = tmp_path / "airgap-inventory.json", tmp_path / "raw"
    inventory.write_bytes(INVENTORY)
    signature.write_bytes(base64.b64decode(sealed(pair.signing(), INVENTORY)))
    done = subprocess.run(
        [require("openssl"), "dgst", "-sha256", "-verify", str(pair.public), "-signature", str(signature),
         str(inventory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "Verified OK\n")


def test_an_ed25519_signature_is_one_that_openssl_accepts(tmp_path: Path) -> None:
    pair = ed25519_pair(tmp_path)
    inventory, signature = tmp_path / "airgap-inventory.json", tmp_path / "raw"
    inventory.write_bytes(INVENTORY)
    signature.write_bytes(base64.b64decode(sealed(pair.signing(), INVENTORY)))
    done = subprocess.run(
        [require("openssl"), "pkeyutl", "-verify", "-pubin", "-inkey", str(pair.public), "-rawin",
         "-sigfile", str(signature), "-in", str(inventory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n")


def test_any_one_of_the_keys_is_enough_and_it_is_told_which(tmp_path: Path) -> None:
    pairs = [ecdsa_pair(tmp_path, "a"), ed25519_pair(tmp_path, "b"), ecdsa_pair(tmp_path, "c")]
    for pair in pairs:
        found = keyring(*pairs).check(INVENTORY, sealed(pair.signing(), INVENTORY), "x.tar")
        assert found == pair.verifying()


@pytest.mark.parametrize("signature", [None, b"", b"garbage"])
def test_without_a_key_no_signature_is_asked_for(signature: bytes | None) -> None:
    assert Keyring().check(INVENTORY, signature, "x.tar") is None


def rsa_signature(_: Pair) -> bytes:
    key = rsa.generate_private_key(65537, 1024)
    return base64.b64encode(key.sign(INVENTORY, padding.PKCS1v15(), hashes.SHA256())) + b"\n"


def p384_signature(_: Pair) -> bytes:
    key = ec.generate_private_key(ec.SECP384R1())
    return base64.b64encode(key.sign(INVENTORY, ec.ECDSA(hashes.SHA256()))) + b"\n"


def envelope(pair: Pair) -> bytes:
    """A DSSE envelope, as attestations have it."""
    signed = base64.b64encode(pair.signing().sign(INVENTORY)).decode()
    payload = base64.b64encode(INVENTORY).decode()
    return json.dumps({"payloadType": "x", "payload": payload, "signatures": [{"sig": signed}]}).encode()


REFUSED: dict[str, tuple[Callable[[Pair], bytes | None], str]] = {
    "missing": (lambda pair: None, "is not signed"),
    "empty": (lambda pair: b"", "is empty"),
    "newline": (lambda pair: b"\n", "is empty"),
    "json": (lambda pair: b'{"sig":"AAAA"}', "not base64"),
    "dsse": (envelope, "not base64"),
    "endless": (lambda pair: b"A" * 5000, "larger than"),
    "raw": (lambda pair: pair.signing().sign(INVENTORY), "not base64"),
    "two-lines": (lambda pair: sealed(pair.signing(), INVENTORY) * 2, "not base64"),
    "spaces": (lambda pair: b" " + sealed(pair.signing(), INVENTORY), "not base64"),
    "rsa-1024": (rsa_signature, "of no kind that is known, with 128 bytes"),
    "p-384": (p384_signature, "of no kind that is known"),
    "no-newline": (lambda pair: sealed(pair.signing(), INVENTORY)[:-1], "not base64"),
    "other-bytes": (lambda pair: sealed(pair.signing(), INVENTORY + b" "), "or its inventory was altered"),
    "zeros": (lambda pair: base64.b64encode(bytes(64)) + b"\n", "x.tar"),
    "zero-numbers": (lambda pair: base64.b64encode(bytes.fromhex("3006020100020100")) + b"\n", "x.tar"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_b74_what_the_key_has_not_signed_is_refused_with_the_check_that_failed(pair: Pair, case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(UntrustedBundle, match=words) as caught:
        keyring(pair).check(INVENTORY, make(pair), "x.tar")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_b74_the_signature_of_another_key_is_refused_by_all_keys_that_were_tried(tmp_path: Path) -> None:
    tried = [ecdsa_pair(tmp_path, "a"), ed25519_pair(tmp_path, "b")]
    for other in (ecdsa_pair(tmp_path, "c"), ed25519_pair(tmp_path, "d")):
        with pytest.raises(UntrustedBundle) as caught:
            keyring(*tried).check(INVENTORY, sealed(other.signing(), INVENTORY), "x.tar")
        assert str(tried[0].public) in caught.value.message
        assert str(tried[1].public) in caught.value.message


def test_b74_a_signature_of_the_other_kind_is_said_to_be_of_the_other_kind(tmp_path: Path) -> None:
    one, other = ecdsa_pair(tmp_path, "a"), ed25519_pair(tmp_path, "b")
    with pytest.raises(UntrustedBundle, match=r"is Ed25519, and the key given is for ECDSA P-256"):
        keyring(one).check(INVENTORY, sealed(other.signing(), INVENTORY), "x.tar")
    with pytest.raises(UntrustedBundle, match=r"is ECDSA P-256, and the key given is for Ed25519"):
        keyring(other).check(INVENTORY, sealed(one.signing(), INVENTORY), "x.tar")


def test_no_bit_of_a_signature_can_flip(pair: Pair) -> None:
    member = sealed(pair.signing(), INVENTORY)
    for place in range(len(member) * 8):
        altered = bytearray(member)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(UntrustedBundle):
            keyring(pair).check(INVENTORY, bytes(altered), "x.tar")


def test_no_bit_of_a_signed_inventory_can_flip(pair: Pair) -> None:
    member = sealed(pair.signing(), INVENTORY)
    for place in range(len(INVENTORY) * 8):
        altered = bytearray(INVENTORY)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(UntrustedBundle):
            keyring(pair).check(bytes(altered), member, "x.tar")
