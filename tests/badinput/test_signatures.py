"""Bundles that are not from whom they should be, by their numbers in the catalogue: none of them is believed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.support.bundles import members, pack_into, write_members
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.images import add_image
from tests.support.keys import Pair, ecdsa_pair, ed25519_pair, pair_of

from airgap.bundles.composition import DOCKER_FILE, INVENTORY_FILE, SIGNATURE_FILE, Label
from airgap.bundles.reader import open_file
from airgap.bundles.signing import Keyring, sealed
from airgap.bundles.verification import verify
from airgap.errors import ContentError, DamagedBundle, UntrustedBundle
from airgap.references import Reference
from airgap.stores.layout import INDEX_FILE
from airgap.stores.memory import MemoryStore

NOWHERE = "127.0.0.1:1"
NAME = "r.io/a/b:1"


@dataclass(frozen=True)
class Signed:
    """A signed bundle, the pair it was signed with, and somebody else's pairs of both kinds."""

    content: dict[str, bytes]
    pair: Pair
    same_kind: Pair
    other_kind: Pair

    def keys(self) -> Keyring:
        return Keyring((self.pair.verifying(),))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    directory = tmp_path_factory.mktemp("signed")
    pair = ecdsa_pair(directory, "sign")
    store = MemoryStore()
    add_image(store, NAME, seed=1)
    path = directory / "x.tar"
    sign = partial(sealed, pair.signing())
    pack_into(path, store, [Reference.parse(NAME)], Label("shop", "", 7, "2999-01-01T00:00:00Z"), sign=sign)
    return Signed(members(path), pair, ecdsa_pair(directory, "same"), ed25519_pair(directory, "other"))


def with_signature(signed: Signed, signature: bytes | None) -> dict[str, bytes]:
    changed = {**signed.content, SIGNATURE_FILE: signature or b""}
    if signature is None:
        del changed[SIGNATURE_FILE]
    return changed


def flipped(signed: Signed) -> dict[str, bytes]:
    inventory = bytearray(signed.content[INVENTORY_FILE])
    inventory[len(inventory) // 2] ^= 1
    return {**signed.content, INVENTORY_FILE: bytes(inventory)}


def of_rsa(signed: Signed) -> dict[str, bytes]:
    key = rsa.generate_private_key(65537, 1024)
    raw = key.sign(signed.content[INVENTORY_FILE], padding.PKCS1v15(), hashes.SHA256())
    return with_signature(signed, base64.b64encode(raw) + b"\n")


def of_another_format(signed: Signed) -> dict[str, bytes]:
    """What would be refused as newer, were it read: but nobody vouches for it."""
    return {**signed.content, INVENTORY_FILE: b'{"schemaVersion":99}\n'}


def signed_by(pair: Pair, signed: Signed) -> dict[str, bytes]:
    return with_signature(signed, sealed(pair.signing(), signed.content[INVENTORY_FILE]))


UNTRUSTED: dict[str, tuple[Callable[[Signed], dict[str, bytes]], str]] = {
    "B74-missing": (lambda signed: with_signature(signed, None), "is not signed"),
    "B74-empty": (lambda signed: with_signature(signed, b""), "is empty"),
    "B74-json": (lambda signed: with_signature(signed, b'{"mediaType":"sigstore"}'), "is not base64"),
    "B74-endless": (lambda signed: with_signature(signed, b"A" * 100_000), "larger than"),
    "B74-rsa-1024": (of_rsa, "of no kind that is known"),
    "B74-another-key": (lambda signed: signed_by(signed.same_kind, signed), "was not signed with"),
    "B74-another-algorithm": (lambda signed: signed_by(signed.other_kind, signed), "is Ed25519"),
    "B46-inventory-flipped": (flipped, "was not signed with"),
    "B46-inventory-not-read-before": (of_another_format, "was not signed with"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_what_the_key_has_not_signed_is_refused_with_the_check_that_failed(
    case: str, signed: Signed, tmp_path: Path
) -> None:
    make, words = UNTRUSTED[case]
    path = tmp_path / "x.tar"
    write_members(path, make(signed))
    check_refusal(kubectl_airgap("verify", path, "--key", signed.pair.public), 3, words)
    with pytest.raises(UntrustedBundle), open_file(path, signed.keys()):
        pytest.fail("it opened")


@pytest.mark.parametrize("verb", ["verify", "inspect", "push", "sign"])
def test_b74_once_a_key_is_configured_no_verb_reads_what_is_not_signed(
    verb: str, signed: Signed, tmp_path: Path
) -> None:
    path = tmp_path / "x.tar"
    write_members(path, with_signature(signed, None))
    before = path.read_bytes()
    more = {"push": (NOWHERE,), "sign": ("--key", str(signed.pair.private))}.get(verb, ())
    done = kubectl_airgap(verb, path, *more, env={"AIRGAP_VERIFY_KEY": str(signed.pair.public)})
    check_refusal(done, 3, "is not signed", "hint: ")
    assert path.read_bytes() == before


def altered_layer(signed: Signed) -> dict[str, bytes]:
    name, data = list(signed.content.items())[-1]
    return {**signed.content, name: data[:-1] + bytes([data[-1] ^ 1])}


def altered_index(signed: Signed) -> dict[str, bytes]:
    """Another name for other tools; what we read is signed."""
    return {**signed.content, INDEX_FILE: signed.content[INDEX_FILE].replace(b"r.io/a/b", b"r.io/a/c")}


def altered_docker(signed: Signed) -> dict[str, bytes]:
    return {**signed.content, DOCKER_FILE: signed.content[DOCKER_FILE].replace(b"r.io/a/b:1", b"r.io/a/b:2")}


def unlisted_member(signed: Signed) -> dict[str, bytes]:
    return {**signed.content, "etc/passwd": b"root::0:0"}


def without_a_blob(signed: Signed) -> dict[str, bytes]:
    return dict(list(signed.content.items())[:-1])


ALTERED: dict[str, Callable[[Signed], dict[str, bytes]]] = {
    "B46-index-altered": altered_index,
    "B46-docker-list-altered": altered_docker,
    "B46-layer-altered": altered_layer,
    "B46-member-not-in-inventory": unlisted_member,
    "B46-member-absent": without_a_blob,
}


@pytest.mark.parametrize("case", ALTERED)
def test_a_right_signature_does_not_cover_up_what_was_altered_elsewhere(
    case: str, signed: Signed, tmp_path: Path
) -> None:
    path = tmp_path / "x.tar"
    write_members(path, ALTERED[case](signed))
    with pytest.raises(ContentError), open_file(path, signed.keys()) as bundle:
        verify(bundle)
    done = kubectl_airgap("verify", path, "--key", signed.pair.public)
    assert done.returncode == 3, done.stderr
    assert "is whole" not in done.stderr


def test_b46_an_inventory_that_stands_twice_is_refused(signed: Signed, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_members(path, signed.content)
    whole = path.read_bytes()
    end = whole.index(b"airgap-inventory.sig")
    start = whole.index(b"airgap-inventory.json")
    path.write_bytes(whole[:end] + whole[start:end] + whole[end:])
    with pytest.raises(DamagedBundle), open_file(path):
        pytest.fail("it opened")


def test_b74_the_private_key_on_the_wrong_side_is_told(signed: Signed, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_members(path, signed.content)
    done = kubectl_airgap("verify", path, "--key", signed.pair.private)
    check_refusal(done, 2, "is a private key", "leave it at home")


@pytest.mark.parametrize("key", ["missing.pub", "x.tar"])
def test_b74_a_key_that_cannot_be_read_stops_before_the_bundle_is_read(
    key: str, signed: Signed, tmp_path: Path
) -> None:
    path = tmp_path / "x.tar"
    write_members(path, signed.content)
    check_refusal(kubectl_airgap("verify", path, "--key", tmp_path / key), 2, key)


def test_b74_rsa_keys_are_refused_at_both_ends(signed: Signed, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_members(path, signed.content)
    pair = pair_of(rsa.generate_private_key(65537, 1024), tmp_path, "rsa")
    check_refusal(kubectl_airgap("sign", path, "--key", pair.private), 2, "RSA of 1024 bits")
    check_refusal(kubectl_airgap("verify", path, "--key", pair.public), 2, "RSA of 1024 bits")


@pytest.mark.parametrize("expires", ["soon", "2027-13-01T00:00:00Z", "\x1b[31m"])
def test_b51_an_expiry_that_is_no_date_is_refused(expires: str, signed: Signed, tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "x.tar"
    add_image(store, NAME, seed=1)
    sign = partial(sealed, signed.pair.signing())
    pack_into(path, store, [Reference.parse(NAME)], Label("shop", "", 7, expires), sign=sign)
    done = kubectl_airgap("push", path, NOWHERE, "--verify-key", signed.pair.public)
    check_refusal(done, 3, "which is no date")
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sequence", "-1"], "--sequence"),
        (["--sequence", "x"], "--sequence"),
        (["--expires", "yesterday"], "invalid expiry 'yesterday'"),
        (["--expires", "2020-01-01"], "is past"),
        (["--sign-key", "missing.key"], "missing.key"),
    ],
)
def test_a_label_that_cannot_be_meant_is_refused_before_anything_is_fetched(
    flags: list[str], words: str, tmp_path: Path
) -> None:
    done = kubectl_airgap("pack", "--image", f"{NOWHERE}/a:1", "-o", tmp_path / "x.tar", *flags)
    check_refusal(done, 2, words)
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_is_in_no_message(tmp_path: Path, signed: Signed) -> None:
    path = tmp_path / "x.tar"
    write_members(path, signed.content)
    pair = ecdsa_pair(tmp_path, "locked", passphrase="correct horse")
    done = kubectl_airgap("sign", path, "--key", pair.private, env={"AIRGAP_SIGN_PASSWORD": "battery staple"})
    check_refusal(done, 2, "does not open with this passphrase")
    assert not re.search("battery|horse", done.stderr + json.dumps(done.args))
