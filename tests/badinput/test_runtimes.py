"""Bad input to `load` and `pack --from`: runtimes that are not there, bundles that do not fit, archives that lie."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.images import add_image, add_index
from tests.support.keys import ecdsa_pair
from tests.support.runtimes import Runtime
from tests.support.saved import ENTRY, LAYER, archive, member, saved, tar_of

from airgap.bundles.composition import Asked, Label
from airgap.descriptors import Descriptor
from airgap.errors import ContentError, ContentMismatch
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores.memory import MemoryStore

HOST = str(Platform.host())
OTHER = "linux/s390x"


def bundle(path: Path, *, platform: str = HOST, kind: str = "image", by_digest: bool = False) -> Path:
    store, name = MemoryStore(), Reference.parse(f"quay.io/{uuid4().hex[:10]}/a:1")
    root = add_image(store, str(name), platform=platform)
    if by_digest:
        name = name.with_digest(root.digest).without_tag()
    pack_into(path, store, [name], asked={name: Asked(kind=kind)})
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("plain") / "x.tar")


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--runtime", "cri-o"], 2, ["unknown runtime 'cri-o'", "docker, podman, containerd, nerdctl"]),
        (["--runtime", "containerd", "--address", "/nowhere.sock"], 4, ["no containerd serves at `/nowhere.sock`"]),
        (["--runtime", "docker", "--address", "/nowhere.sock"], 4, ["no docker serves", "--address"]),
        (["--runtime", "podman", "--address", "/" + "a" * 200], 4, ["no podman answers", "too long"]),
        (["--runtime", "nerdctl"], 4, ["`nerdctl` was not found on PATH", "name another runtime"]),
        (["--runtime", "docker", "--namespace", "x"], 2, ["docker has no namespaces", "containerd"]),
        (["--runtime", "containerd", "--namespace", "-x"], 2, ["'-x' is no namespace", "k8s.io"]),
        (["--address", "/run/some.sock"], 2, ["it is not said what serves", "--runtime"]),
        (["--runtime", "podman", "--platform", "pdp11"], 2, ["'pdp11' is no platform", "linux/amd64"]),
        (["--runtime", "podman", "--pin"], 2, ["podman cannot pin images", "leave --pin out"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_what_cannot_be_meant_is_one_line(plain: Path, flags: list[str], code: int, words: list[str]) -> None:
    check_refusal(kubectl_airgap("load", plain, *flags), code, *words)


def test_a_machine_without_a_runtime_is_said_to_be_one(plain: Path, tmp_path: Path) -> None:
    done = kubectl_airgap("load", plain, env={"PATH": str(tmp_path), "DOCKER_HOST": "", "CONTAINERD_ADDRESS": ""})
    check_refusal(done, 4, "no container runtime was found", "--runtime")


def test_a_socket_that_nobody_answers_at_is_said_at_once(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("not a socket")
    done = kubectl_airgap("load", plain, "--runtime", "containerd", "--address", tmp_path / "s.sock")
    check_refusal(done, 4, "no containerd answers", "connection refused")
    assert done.seconds < 5


def test_a_namespace_that_nobody_uses_is_refused_with_those_there_are(plain: Path, ctr: Runtime) -> None:
    ctr("images", "ls")
    done = kubectl_airgap("load", plain, "--runtime", "containerd", *ctr.flags, "--namespace", "k8s-io")
    check_refusal(done, 2, "has no namespace 'k8s-io'", "leave --containerd-namespace out")


def test_b50_an_image_for_another_machine_is_refused_with_what_there_is(ctr: Runtime, tmp_path: Path) -> None:
    single = bundle(tmp_path / "single.tar", platform=OTHER)
    store, name = MemoryStore(), f"quay.io/{uuid4().hex[:10]}/multi:1"
    add_index(store, name, ("linux/ppc64le", OTHER))
    pack_into(tmp_path / "multi.tar", store, [Reference.parse(name)])

    one = kubectl_airgap("load", single, "--runtime", "containerd", *ctr.flags)
    many = kubectl_airgap("load", tmp_path / "multi.tar", "--runtime", "containerd", *ctr.flags)

    check_refusal(one, 5, f"not made for {HOST}", f"is here for {OTHER}", "--platform")
    check_refusal(many, 5, f"{name} is here for linux/ppc64le, {OTHER}")


def test_b51_b74_what_is_unsigned_or_has_expired_is_not_loaded(podman: Runtime, tmp_path: Path) -> None:
    store, name = MemoryStore(), Reference.parse(f"quay.io/{uuid4().hex[:10]}/a:1")
    add_image(store, str(name), platform=HOST)
    pack_into(tmp_path / "x.tar", store, [name], Label("x", expires="2026-01-01T00:00:00Z"))
    command = ("load", tmp_path / "x.tar", "--runtime", "podman")

    unsigned = kubectl_airgap(*command, "--verify-key", ecdsa_pair(tmp_path).public, env=podman.env)
    expired = kubectl_airgap(*command, env=podman.env)
    allowed = kubectl_airgap(*command, "--allow-expired", "--dry-run", env=podman.env)

    check_refusal(unsigned, 3, "not signed")
    check_refusal(expired, 3, "expired", "--allow-expired")
    assert allowed.returncode == 0, allowed.stderr


def test_a_bundle_of_charts_alone_has_nothing_to_load(podman: Runtime, tmp_path: Path) -> None:
    chart = bundle(tmp_path / "x.tar", kind="chart")
    done = kubectl_airgap("load", chart, "--runtime", "podman", "-q", env=podman.env)
    assert done.returncode == 2
    assert "has no image in it" in done.stderr


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["a run", "a dry run"])
def test_an_image_that_only_a_digest_names_cannot_be_named_by_podman(
    podman: Runtime, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    path = bundle(tmp_path / "x.tar", by_digest=True)
    done = kubectl_airgap("load", path, "--runtime", "podman", *flags, env=podman.env)
    assert done.returncode == 5
    assert "names images by tag only" in done.stderr


def test_podman_takes_no_half_of_a_delta(podman: Runtime, tmp_path: Path) -> None:
    store, name = MemoryStore(), Reference.parse(f"quay.io/{uuid4().hex[:10]}/a:1")
    add_image(store, str(name), platform=HOST)
    absent = next(d for d in store.blobs if store.blobs[d][:2] == b"\x1f\x8b")
    pack_into(tmp_path / "x.tar", store, [name], absent={absent: (name.name,)})

    done = kubectl_airgap("load", tmp_path / "x.tar", "--runtime", "podman", env=podman.env)

    check_refusal(done, 5, "leaves out 1 blob", absent, "without --since")


def test_nerdctl_is_not_packed_from(tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", "a", "--from", "nerdctl", "-o", tmp_path / "x.tar")
    check_refusal(done, 4, "nerdctl")
    assert not list(tmp_path.iterdir())


ABSURD = {"comment": "x" * 100_000}
HOSTILE: dict[str, Callable[[], bytes]] = {
    "B45 nothing": lambda: b"",
    "B45 no tar": lambda: b"Error response from daemon " * 100,
    "B45 cut off": lambda: archive()[:1500],
    "B46 no list": lambda: tar_of([member("l/layer.tar", LAYER)]),
    "B46 a list of another form": lambda: archive(listed={"Config": "c.json"}),
    "B46 an entry without layers": lambda: archive(listed=[{"Config": "c.json"}]),
    "B46 numbers for names": lambda: archive(listed=[ENTRY | {"RepoTags": [1]}]),
    "B46 a name that is none": lambda: archive(listed=[ENTRY | {"RepoTags": ["UPPER case"]}]),
    "B46 a layer that is not in it": lambda: archive(listed=[ENTRY | {"Layers": ["../../etc/passwd"]}]),
    "B46 more layers than the config says": lambda: archive(listed=[ENTRY | {"Layers": ["l/layer.tar"] * 2}]),
    "B46 a config without layers": lambda: archive(config=b"{}"),
    "B46 a config that is no JSON": lambda: archive(config=b"\xff"),
    "B46 digests that are none": lambda: archive(config=b'{"rootfs": {"diff_ids": ["sha256:../../x"]}}'),
    "B48 a device": lambda: archive(more=[member("dev", type=tarfile.CHRTYPE)]),
    "B48 a name twice": lambda: archive(more=[member("l/layer.tar", b"other")]),
    "B48 an extended header without end": lambda: archive(more=[member("x", pax_headers=ABSURD)]),
    "B53 a link to itself": lambda: archive(
        listed=[ENTRY | {"Layers": ["s"]}], more=[member("s", type=tarfile.SYMTYPE, linkname="s")]
    ),
    "B53 a link to outside": lambda: archive(
        listed=[ENTRY | {"Layers": ["s"]}], more=[member("s", type=tarfile.SYMTYPE, linkname="/etc/passwd")]
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_that_lies_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ContentError) as refusal:
        saved(HOSTILE[name](), tmp_path)
    assert refusal.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_is_not_what_its_config_says_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    with saved(archive().replace(LAYER, LAYER.upper()), tmp_path) as images:
        layer = json.loads(images.manifest("", images.resolve(Reference.parse("web:1"))))["layers"][0]
        with pytest.raises(ContentMismatch):
            list(images.blob("", Descriptor("-", layer["digest"], layer["size"])))
