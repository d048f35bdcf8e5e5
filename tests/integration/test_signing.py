"""Signed bundles, from the key to the registry inside, with the commands a user types."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import select
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.bundles import members, pack_into
from tests.support.cli import SCRIPTS, Ended, check_refusal, kubectl_airgap, run
from tests.support.images import add_image
from tests.support.keys import PASSPHRASE, Pair, ecdsa_pair, ed25519_pair
from tests.support.registry import Registry, store_for
from tests.support.tools import require

from airgap.bundles.composition import INVENTORY_FILE, SIGNATURE_FILE, Label
from airgap.bundles.signing import sealed
from airgap.references import Reference
from airgap.stores.insertion import SUFFIX
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.engine import Conduct
from airgap.transfer.graph import walk

PAST = "2026-10-01T00:00:00Z"


@dataclass(frozen=True)
class World:
    """An image in a registry outside, a pair of keys, and a place inside."""

    image: str
    pair: Pair
    store: MemoryStore
    inside: str

    def bundle(self, path: Path, label: Label, *, signed: bool = True) -> Path:
        """A bundle of the image, made in this process."""
        key = self.pair.signing()
        sign = (lambda inventory: sealed(key, inventory)) if signed else None
        pack_into(path, self.store, [Reference.parse(self.image)], label, sign=sign)
        return path

    def push(self, path: Path, *flags: object, key: bool = True, state: Path | None = None) -> Ended:
        keys = ["--verify-key", self.pair.public] if key else []
        env = {"XDG_STATE_HOME": str(state)} if state else {}
        return kubectl_airgap("push", path, self.inside, *keys, *flags, env=env)


@pytest.fixture
def world(registry: Registry, other_registry: Registry, tmp_path: Path) -> World:
    image = f"{registry.repository()}:1"
    store = MemoryStore()
    add_image(store, image)
    reference = Reference.parse(image)
    target = store_for(registry)
    todo = plan.plan(walk(store, [reference]), target, {reference: reference})
    engine.run(todo, store, target, Conduct())
    return World(image, ecdsa_pair(tmp_path, "sign"), store, other_registry.repository())


@pytest.fixture
def unsigned(world: World, tmp_path: Path) -> Path:
    return world.bundle(tmp_path / "unsigned.tar", Label("shop"), signed=False)


def good(done: Ended) -> Ended:
    assert done.returncode == 0, done.stderr
    return done


def test_a_bundle_is_signed_when_it_is_packed_and_verified_where_it_is_pushed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "shop.tar"
    packed = good(kubectl_airgap("pack", "--image", world.image, "--sign-key", world.pair.private, "-o", path))
    assert list(members(path))[:3] == ["oci-layout", INVENTORY_FILE, SIGNATURE_FILE]
    assert f"push {path} HOST/PREFIX --verify-key PUBLIC-KEY" in packed.stderr
    verified = good(kubectl_airgap("verify", path, "--key", world.pair.public))
    assert f"push {path} HOST/PREFIX --verify-key {world.pair.public}" in verified.stderr
    assert f"it is signed with {world.pair.public}, {world.pair.verifying().fingerprint}" in verified.stderr
    assert "note:" not in good(world.push(path)).stderr


def test_whose_keys_keep_a_bundle_from_being_signed_is_told_how_to_sign_it(world: World, unsigned: Path) -> None:
    env = {"AIRGAP_VERIFY_KEY": str(world.pair.public)}
    done = kubectl_airgap("sign", unsigned, "--key", world.pair.private, env=env)
    check_refusal(done, 3, "is not signed", "unset AIRGAP_VERIFY_KEY")
    assert ": 1 item, inventory" in good(kubectl_airgap("sign", unsigned, "--key", world.pair.private)).stderr


def test_what_cosign_is_given_is_a_der_signature_over_the_inventorys_file(world: World, tmp_path: Path) -> None:
    """Unpacked with tar, decoded with base64 and verified with openssl: what cosign does, without cosign."""
    path = world.bundle(tmp_path / "shop.tar", Label("shop"))
    good(run("tar", "-C", tmp_path, "-xf", path, INVENTORY_FILE, SIGNATURE_FILE))
    raw = tmp_path / "raw"
    raw.write_bytes(base64.b64decode((tmp_path / SIGNATURE_FILE).read_bytes(), validate=False))
    done = run(
        require("openssl"), "dgst", "-sha256", "-verify", world.pair.public, "-signature", raw,
        tmp_path / INVENTORY_FILE,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "Verified OK\n")


def test_a_signed_bundle_is_the_same_bytes_twice_and_other_tools_read_it(world: World, tmp_path: Path) -> None:
    paths = [tmp_path / name / "shop.tar" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        good(kubectl_airgap("pack", "--image", world.image, "--sign-key", world.pair.private, "-o", path))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    good(run(require("skopeo"), "inspect", "--raw", f"oci-archive:{paths[0]}:{world.image}"))


def test_a_bundle_that_is_signed_later_is_the_one_that_was_signed_when_packed(
    world: World, unsigned: Path, tmp_path: Path
) -> None:
    said = good(kubectl_airgap("sign", unsigned, "--key", world.pair.private)).stderr
    assert ": 1 item, inventory sha256:" in said
    assert world.pair.verifying().fingerprint in said
    assert unsigned.read_bytes() == world.bundle(tmp_path / "signed.tar", Label("shop")).read_bytes()
    assert not unsigned.with_name(unsigned.name + SUFFIX).exists()


def test_another_signature_takes_the_place_of_the_first_without_a_copy(world: World, tmp_path: Path) -> None:
    path = world.bundle(tmp_path / "shop.tar", Label("shop"))
    before, file = members(path), path.stat().st_ino
    other = ed25519_pair(tmp_path, "other")
    done = good(kubectl_airgap("sign", path, "--key", other.private, "--verify-key", world.pair.public))
    assert "in the place of an earlier one" in done.stderr
    assert path.stat().st_ino == file
    assert {**members(path), SIGNATURE_FILE: b""} == {**before, SIGNATURE_FILE: b""}
    good(kubectl_airgap("verify", path, "--key", other.public))
    check_refusal(kubectl_airgap("verify", path, "--key", world.pair.public), 3, "is Ed25519")
    good(kubectl_airgap("verify", path, "--key", world.pair.public, "--key", other.public))


def test_without_a_key_a_signed_bundle_is_read_and_nobody_claims_to_have_checked_it(
    world: World, tmp_path: Path
) -> None:
    path = world.bundle(tmp_path / "shop.tar", Label("shop"))
    for done in (kubectl_airgap("verify", path), kubectl_airgap("inspect", path), world.push(path, key=False)):
        assert "is signed, and nobody has checked by whom" in good(done).stderr
        assert world.pair.verifying().fingerprint not in done.stderr


def test_a_key_in_the_environment_is_a_key_and_several_stand_between_colons(
    world: World, unsigned: Path, tmp_path: Path
) -> None:
    path = world.bundle(tmp_path / "shop.tar", Label("shop"))
    other = ed25519_pair(tmp_path, "other")
    env = {"AIRGAP_VERIFY_KEY": f"{other.public}:{world.pair.public}"}
    assert "it is signed with" in good(kubectl_airgap("verify", path, env=env)).stderr
    check_refusal(kubectl_airgap("inspect", unsigned, env=env), 3, "is not signed")


def test_the_key_decides_about_an_earlier_bundle_too(world: World, unsigned: Path, tmp_path: Path) -> None:
    flags = ["--image", world.image, "--verify-key", world.pair.public, "-o", tmp_path / "delta.tar"]
    check_refusal(kubectl_airgap("pack", "--since", unsigned, *flags), 3, "is not signed")
    inventory = tmp_path / "before" / INVENTORY_FILE
    inventory.parent.mkdir()
    signed = members(world.bundle(tmp_path / "shop.tar", Label("shop")))
    inventory.write_bytes(signed[INVENTORY_FILE])
    check_refusal(kubectl_airgap("pack", "--since", inventory, *flags), 3, "is not signed")
    inventory.with_suffix(".sig").write_bytes(signed[SIGNATURE_FILE])
    good(kubectl_airgap("pack", "--since", inventory, *flags))
    good(kubectl_airgap("pack", "--since", tmp_path / "shop.tar", *flags))


def test_inspect_says_what_a_bundle_says_of_itself(world: World, tmp_path: Path) -> None:
    path = world.bundle(tmp_path / "x.tar", Label("shop", "1.4.0", 7, "2999-01-01T00:00:00Z"))
    document = good(kubectl_airgap("inspect", path, "-o", "json", "--verify-key", world.pair.public)).json
    said = {key: document[key] for key in ("name", "version", "sequence", "expires", "signer")}
    assert said == {
        "name": "shop", "version": "1.4.0", "sequence": 7, "expires": "2999-01-01T00:00:00Z",
        "signer": world.pair.verifying().fingerprint,
    }  # fmt: skip
    assert "sequence 7, expires 2999-01-01T00:00:00Z" in kubectl_airgap("inspect", path).stderr


# Passphrases.


@pytest.fixture
def locked(tmp_path: Path) -> Pair:
    return ecdsa_pair(tmp_path, "locked", passphrase=PASSPHRASE)


def test_a_passphrase_comes_from_the_environment_or_a_file(locked: Pair, unsigned: Path, tmp_path: Path) -> None:
    env = {"AIRGAP_SIGN_PASSWORD": PASSPHRASE}
    good(kubectl_airgap("sign", unsigned, "--key", locked.private, env=env))
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE + "\n")
    good(kubectl_airgap("sign", unsigned, "--key", locked.private, "--sign-password-file", secret))
    good(kubectl_airgap("verify", unsigned, "--key", locked.public))


def test_a_passphrase_that_nobody_is_there_to_type_is_asked_for_nowhere(locked: Pair, unsigned: Path) -> None:
    done = kubectl_airgap("sign", unsigned, "--key", locked.private)
    check_refusal(done, 2, "nobody is here to type it", "AIRGAP_SIGN_PASSWORD", "--sign-password-file")


def test_a_passphrase_is_typed_on_a_terminal_and_not_shown_there(locked: Pair, unsigned: Path) -> None:
    ours, theirs = pty.openpty()
    command = [str(word) for word in (SCRIPTS / "kubectl-airgap", "sign", unsigned, "--key", locked.private)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone once the program has ended
        while select.select([ours], [], [], 30)[0]:
            shown += os.read(ours, 4096)
            if shown.endswith(b"locked.key: "):
                os.write(ours, PASSPHRASE.encode() + b"\n")
    os.close(ours)
    assert process.wait(30) == 0, shown
    assert b"signed " in shown
    assert PASSPHRASE.encode() not in shown


# Rollback, expiry, freeze.


def test_b51_an_older_bundle_is_refused_unless_it_is_meant(world: World, tmp_path: Path) -> None:
    new = world.bundle(tmp_path / "new.tar", Label("shop", sequence=8))
    old = world.bundle(tmp_path / "old.tar", Label("shop", sequence=7))
    bare = world.bundle(tmp_path / "bare.tar", Label("shop"))
    good(world.push(new))
    check_refusal(world.push(old), 3, "sequence number 7, and 8 was pushed before", "--allow-rollback")
    check_refusal(world.push(old, "--dry-run"), 3, "8 was pushed before")
    check_refusal(world.push(bare), 3, "has no sequence number")
    assert "8 was pushed before" in good(kubectl_airgap("verify", old, "--key", world.pair.public)).stderr
    assert "8 was pushed before" in good(world.push(old, "--allow-rollback")).stderr
    assert "note:" not in good(world.push(old)).stderr
    good(world.push(new))


def test_b51_a_series_is_of_one_name_and_one_key(world: World, tmp_path: Path) -> None:
    good(world.push(world.bundle(tmp_path / "new.tar", Label("shop", sequence=8))))
    good(world.push(world.bundle(tmp_path / "other.tar", Label("other", sequence=1))))
    unchecked = world.bundle(tmp_path / "unchecked.tar", Label("shop", sequence=1), signed=False)
    good(world.push(unchecked, key=False))
    again = ed25519_pair(tmp_path, "again")
    resigned = tmp_path / "resigned.tar"
    shutil.copy(unchecked, resigned)
    good(kubectl_airgap("sign", resigned, "--key", again.private))
    check_refusal(world.push(resigned), 3, "is Ed25519")
    good(world.push(resigned, "--verify-key", again.public, key=False))


def test_b51_an_expired_bundle_is_refused_at_the_push_and_told_at_the_proof(world: World, tmp_path: Path) -> None:
    path = world.bundle(tmp_path / "x.tar", Label("shop", "", 7, PAST))
    check_refusal(world.push(path), 3, f"`shop` expired on {PAST}", "--allow-expired")
    assert f"note: `shop` expired on {PAST}" in good(kubectl_airgap("verify", path)).stderr
    assert "expired on" in good(world.push(path, "--allow-expired")).stderr
    following = world.bundle(tmp_path / "y.tar", Label("shop", "", 8, "2999-01-01T00:00:00Z"))
    assert "note: the last `shop` expired" in good(world.push(following)).stderr


def test_pack_writes_what_the_user_says_and_the_name_does_not_depend_on_the_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "shop-2026-11.tar"
    flags = ["--name", "shop", "--sequence", "7", "--expires", "2999-12-31"]
    good(kubectl_airgap("pack", "--image", world.image, *flags, "-o", path))
    inventory = json.loads(members(path)[INVENTORY_FILE])
    assert (inventory["name"], inventory["sequence"], inventory["expires"]) == ("shop", 7, "2999-12-31T00:00:00Z")


def test_nothing_is_remembered_of_a_push_that_failed_or_was_only_planned(world: World, tmp_path: Path) -> None:
    state = tmp_path / "state"
    path = world.bundle(tmp_path / "x.tar", Label("shop", sequence=7))
    good(world.push(path, "--dry-run", state=state))
    env = {"XDG_STATE_HOME": str(state)}
    assert kubectl_airgap("push", path, "127.0.0.1:1/a", env=env).returncode == 4
    assert not (state / "airgap" / "pushed").exists()
    good(world.push(path, state=state))
    (memory,) = (state / "airgap" / "pushed").iterdir()
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert json.loads(memory.read_bytes())["sequence"] == 7


def test_a_memory_that_is_damaged_or_has_no_place_costs_a_note_and_no_push(world: World, tmp_path: Path) -> None:
    path = world.bundle(tmp_path / "x.tar", Label("shop", sequence=7))
    state = tmp_path / "state"
    good(world.push(path, state=state))
    (memory,) = (state / "airgap" / "pushed").iterdir()
    memory.write_bytes(b"\0" * 100)
    assert "it is not known what was pushed last" in good(world.push(path, state=state)).stderr
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    assert "it cannot be remembered" in good(world.push(path, state=nowhere)).stderr


# Cut off.


@pytest.mark.undisturbed
@pytest.mark.parametrize("call", ["copy_file_range", "pwrite64", "fsync", "rename"])
def test_a_signing_that_is_killed_at_any_step_leaves_the_bundle_whole_and_is_done_again(
    call: str, world: World, unsigned: Path
) -> None:
    before = unsigned.read_bytes()
    traced = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL")
    sign = (SCRIPTS / "kubectl-airgap", "sign", unsigned, "--key", world.pair.private)
    killed = run(*traced, *sign)
    assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), killed.stderr
    after = unsigned.read_bytes()
    assert after == before or call == "rename"
    good(run(*sign))
    good(kubectl_airgap("verify", unsigned, "--key", world.pair.public))
    assert not unsigned.with_name(unsigned.name + SUFFIX).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_without_room_for_the_copy_is_refused_with_both_numbers(
    world: World, unsigned: Path, small_disk: Path
) -> None:
    path = small_disk / "x.tar"
    shutil.copy(unsigned, path)
    with contextlib.suppress(OSError):
        (small_disk / "filler").write_bytes(bytes(64 << 10))
    before = path.read_bytes()
    check_refusal(kubectl_airgap("sign", path, "--key", world.pair.private), 1, "needs", "free", "hint: ")
    assert path.read_bytes() == before
