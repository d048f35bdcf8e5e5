"""Bundles that never lie anywhere: written to a pipe and read from one, with the commands a user types."""

from __future__ import annotations

import os
import pty
import random
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap, run
from tests.support.images import add_image, add_index, random_layer
from tests.support.origin import Origin, publish
from tests.support.registry import Registry, store_for

from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer.graph import walk


@pytest.fixture(scope="module")
def origin(registry: Registry) -> Origin:
    """Two images that share a layer of 12 MB, and one for two platforms."""
    large = random_layer(random.Random(1), 12_000_000)
    small = [random_layer(random.Random(seed), 20_000) for seed in range(2, 8)]

    def fill(store: MemoryStore, repository: str) -> None:
        add_image(store, f"{repository}/one:1", layers=[large, *small])
        add_image(store, f"{repository}/two:1", layers=[large, small[0]], platform="linux/arm64")
        add_index(store, f"{repository}/multi:2")

    return publish(registry, fill)


@pytest.fixture(scope="module")
def bundle(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "shop.tar"
    done = kubectl_airgap("pack", *origin.flags, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def there(origin: Origin, registry: Registry, prefix: str) -> list[str]:
    """The digests that the target's tags stand for; empty where there is no such tag."""
    store = store_for(registry)
    found = [store.find(Reference.parse(f"{prefix}/{Reference.parse(n).repository}:{n[-1]}")) for n in origin.names]
    return [descriptor.digest if descriptor else "" for descriptor in found]


def requests_for(registry: Registry, prefix: str) -> list[str]:
    return [request for request in registry.requests() if prefix.partition("/")[2] in request]


def test_a_stream_has_the_same_bytes_as_the_file(origin: Origin, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [str(SCRIPTS / "kubectl-airgap"), "pack", *origin.flags, "--name", "shop", "-o", "-"]
    with out.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == bundle.read_bytes()
    assert b"into standard output" in done.stderr
    assert b"next" not in done.stderr


def test_pack_into_push_needs_no_disk(
    origin: Origin, other_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = other_registry.repository()
    program = SCRIPTS / "kubectl-airgap"
    monkeypatch.chdir(tmp_path)
    line = f"{program} pack {' '.join(origin.flags)} -o - | {program} push - {prefix}"
    done = run("bash", "-o", "pipefail", "-c", line)
    assert done.returncode == 0, done.stderr
    assert there(origin, other_registry, prefix) == origin.digests()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.lock.yaml"]
    lock = yaml.safe_load((tmp_path / "bundle.lock.yaml").read_text())
    assert [entry["digest"] for entry in lock["images"]] == origin.digests()
    assert done.stdout == ""


def test_each_blob_is_sent_once_and_shared_ones_are_mounted(
    origin: Origin, bundle: Path, other_registry: Registry, tmp_path: Path
) -> None:
    prefix = other_registry.repository()
    lock = tmp_path / "lock.yaml"
    done = kubectl_airgap("push", "-", prefix, "--lock", lock, "--report", "json", stdin=bundle.read_bytes())
    assert done.returncode == 0, done.stderr
    requests = requests_for(other_registry, prefix)
    uploads = [r for r in requests if r.startswith("PUT") and "/blobs/uploads/" in r]
    digests = [request.rpartition("digest=")[2] for request in uploads]
    assert len(digests) == len(set(digests))
    report = done.json
    assert report["copied"] == len(digests)
    assert report["mounted"] == 2
    assert report["bytes"] == sum(item["bytes"] for item in report["items"])
    assert {item["result"] for item in report["items"]} == {"done"}
    last_blob = max(n for n, request in enumerate(requests) if "/blobs/" in request)
    tags = [n for n, request in enumerate(requests) if request.startswith("PUT") and request.endswith(("/1", "/2"))]
    assert tags
    assert min(tags) > last_blob


def test_what_is_there_is_read_past(origin: Origin, bundle: Path, other_registry: Registry, tmp_path: Path) -> None:
    prefix = other_registry.repository()
    lock = tmp_path / "lock.yaml"
    assert kubectl_airgap("push", bundle, prefix, "--lock", lock).returncode == 0
    before = len(requests_for(other_registry, prefix))
    done = kubectl_airgap("push", "-", prefix, "--lock", lock, stdin=bundle.read_bytes())
    assert done.returncode == 0, done.stderr
    assert "nothing was left to send" in done.stderr
    assert all(request.startswith("HEAD") for request in requests_for(other_registry, prefix)[before:])


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_a_stream_that_ends_early_gives_no_tag_and_the_next_one_goes_on(
    origin: Origin, bundle: Path, other_registry: Registry, tmp_path: Path, share: float
) -> None:
    prefix = other_registry.repository()
    lock = tmp_path / "lock.yaml"
    data = bundle.read_bytes()
    cut = data[: int(len(data) * share) - 600]
    done = kubectl_airgap("push", "-", prefix, "--lock", lock, stdin=cut)
    check_refusal(done, 3, "cut off", "hint: ")
    assert there(origin, other_registry, prefix) == ["", "", ""]
    assert not lock.exists()
    store = store_for(other_registry)
    sent = {
        blob.digest
        for image in walk(origin.store, [Reference.parse(name) for name in origin.names]).images
        for blob in walk(origin.store, [image.reference]).blobs_of(image)
        if store.has(f"{prefix}/{image.reference.repository}", blob)
    }
    assert len(sent) > 5
    before = len(requests_for(other_registry, prefix))
    again = kubectl_airgap("push", "-", prefix, "--lock", lock, stdin=data)
    assert again.returncode == 0, again.stderr
    assert there(origin, other_registry, prefix) == origin.digests()
    uploads = [r for r in requests_for(other_registry, prefix)[before:] if r.startswith("PUT") and "/uploads/" in r]
    assert not sent & {request.rpartition("digest=")[2] for request in uploads}


def test_a_delta_proves_the_target_before_anything_is_sent(
    origin: Origin, bundle: Path, other_registry: Registry, tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(SCRIPTS / "kubectl-airgap"), "pack", "--image", origin.names[1], "--since", str(bundle), "-o", "-"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) < 50_000
    prefix = other_registry.repository()
    lock = tmp_path / "lock.yaml"
    refused = kubectl_airgap("push", "-", prefix, "--lock", lock, stdin=done.stdout)
    check_refusal(refused, 5, "the target lacks")
    assert not [r for r in requests_for(other_registry, prefix) if not r.startswith("HEAD")]
    assert kubectl_airgap("push", bundle, prefix, "--lock", lock).returncode == 0
    again = kubectl_airgap("push", "-", prefix, "--lock", lock, stdin=done.stdout)
    assert again.returncode == 0, again.stderr


def test_verify_and_inspect_read_what_is_piped_in(bundle: Path) -> None:
    data = bundle.read_bytes()
    proved = kubectl_airgap("verify", "-", stdin=data)
    assert proved.returncode == 0, proved.stderr
    assert "standard input is whole: 3 images" in proved.stderr
    assert (
        kubectl_airgap("inspect", "-", "-o", "name", stdin=data).stdout
        == kubectl_airgap("inspect", bundle, "-o", "name").stdout
    )
    front = kubectl_airgap("inspect", "-", stdin=data[:100_000])
    assert front.returncode == 0, front.stderr


@pytest.mark.parametrize(
    ("verb", "stdin", "words"),
    [
        (["verify", "-"], b"", "is empty"),
        (["inspect", "-"], b"PK\x03\x04" * 500, "is not a bundle"),
        (["push", "-", "127.0.0.1:1/x"], b"short", "is not a bundle"),
    ],
)
def test_what_is_no_bundle_is_refused_in_one_line(verb: list[str], stdin: bytes, words: str) -> None:
    check_refusal(kubectl_airgap(*verb, stdin=stdin), 3, words, "hint: ")


def test_a_terminal_is_no_place_for_a_bundle(bundle: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        for arguments, words in (
            (["verify", "-"], b"from a terminal"),
            (["pack", "--image", "a", "-o", "-"], b"for a"),
        ):
            done = subprocess.run(
                [str(SCRIPTS / "kubectl-airgap"), *arguments],
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.PIPE,
                timeout=20,
                check=False,
            )
            assert done.returncode == 2
            assert words in done.stderr
            assert b"hint: " in done.stderr
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_stream_is_not_loaded_into_a_runtime(bundle: Path) -> None:
    done = kubectl_airgap("load", "-", "--runtime", "podman", stdin=bundle.read_bytes())
    check_refusal(done, 2, "a bundle on standard input cannot be loaded", "write it to a file first")


def test_a_closed_standard_input_is_said() -> None:
    done = run("bash", "-c", f"{SCRIPTS / 'kubectl-airgap'} verify - <&-")
    check_refusal(done, 2, "standard input is closed", "hint: ")


def test_a_reader_that_has_enough_ends_pack_quietly(origin: Origin) -> None:
    pack = f"{SCRIPTS / 'kubectl-airgap'} pack {' '.join(origin.flags)} -o -"
    done = run("bash", "-c", pack + " | head -c 5000 | wc -c; echo ${PIPESTATUS[0]}")
    assert done.stdout.split() == ["5000", "141"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--split", "1MB"], "only a file can be split"), (["--report", "json"], "cannot both go to standard output")],
)
def test_what_cannot_go_with_a_stream_is_refused(origin: Origin, flags: list[str], words: str) -> None:
    check_refusal(kubectl_airgap("pack", *origin.flags, "-o", "-", *flags), 2, words)


def test_a_full_disk_behind_a_redirection_is_said(origin: Origin) -> None:
    line = f"{SCRIPTS / 'kubectl-airgap'} pack {' '.join(origin.flags)} -o - > /dev/full"
    done = run("bash", "-c", line)
    check_refusal(done, 1, "standard output", "No space left")


def test_a_name_from_a_stream_does_not_lead_elsewhere(
    origin: Origin, other_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    bundle = tmp_path / "evil.tar"
    packed = kubectl_airgap("pack", "--image", origin.names[0], "--name", "../../evil\n", "-o", bundle)
    assert packed.returncode == 0, packed.stderr
    done = kubectl_airgap("push", "-", other_registry.repository(), stdin=bundle.read_bytes())
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["_.._evil_.lock.yaml"]


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(bundle: Path, other_registry: Registry) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", "-", prefix, "--dry-run", stdin=bundle.read_bytes()[:100_000])
    assert done.returncode == 0, done.stderr
    assert "would send" in done.stderr
    assert not [request for request in requests_for(other_registry, prefix) if not request.startswith("HEAD")]
