"""Images of this machine's runtimes into a bundle, without any registry."""

from __future__ import annotations

import json
import random
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import Ended, check_refusal, kubectl_airgap, run
from tests.support.images import add_image, add_index, random_layer
from tests.support.runtimes import Runtime
from tests.support.tools import require

from airgap.bundles.reader import Bundle, open_file
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import graph

HOST = str(Platform.host())


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, docker: Runtime, podman: Runtime, ctr: Runtime) -> MemoryStore:
    """What the runtimes have: `app`, whose layer is in it twice, and `multi`, of which they have one platform."""
    store = MemoryStore()
    prefix = f"quay.io/p{uuid4().hex[:10]}"
    twice = random_layer(random.Random(prefix), 300_000)
    add_image(store, f"{prefix}/app:1", layers=[twice, random_layer(random.Random(3), 900), twice], platform=HOST)
    add_index(store, f"{prefix}/multi:2")
    path = tmp_path_factory.mktemp("origin") / "x.tar"
    pack_into(path, store, [Reference.parse(name) for name in names(store)])
    for runtime in (docker, podman):
        runtime("load", "--input", path)
    ctr("images", "import", path)
    return store


def names(store: MemoryStore) -> list[str]:
    return sorted(name for name in store.names if "@" not in name)


def pack(runtime: Runtime, path: Path, *images: str, more: str = "-q") -> Ended:
    wanted = [word for image in images for word in ("--image", image)]
    return kubectl_airgap("pack", "--from", runtime.kind, *runtime.flags, *wanted, "-o", path, more, env=runtime.env)


def walked(bundle: Bundle) -> graph.Graph:
    return graph.walk(bundle.store, bundle.references, graph.among(bundle.digests))


def test_containerd_gives_every_blob_as_it_was_pulled(origin: MemoryStore, ctr: Runtime, tmp_path: Path) -> None:
    done = pack(ctr, tmp_path / "x.tar", *names(origin))

    assert done.returncode == 0, done.stderr
    assert kubectl_airgap("verify", tmp_path / "x.tar").returncode == 0
    with open_file(tmp_path / "x.tar") as bundle:
        found = walked(bundle)
        assert [i.root.digest for i in found.images] == [origin.names[name].digest for name in names(origin)]
        assert bundle.digests < set(origin.blobs)  # of `multi`, the other platform is not on this machine
        assert [str(p) for p in found.platforms_of(found.images[1])] == [HOST]


def test_docker_and_podman_give_configs_and_plain_layers_always_as_the_same_bytes(
    origin: MemoryStore, docker: Runtime, podman: Runtime, tmp_path: Path
) -> None:
    made = {}
    for number, runtime in enumerate((docker, podman, docker)):
        path = tmp_path / str(number) / "x.tar"
        path.parent.mkdir()
        done = pack(runtime, path, *names(origin))
        assert done.returncode == 0, done.stderr
        assert [found.name for found in path.parent.iterdir()] == ["x.tar"]
        assert f"keeping what {runtime.kind} saves in `{path.parent}`" in done.stderr
        made[number] = path.read_bytes()
    assert made[0] == made[1] == made[2]

    assert kubectl_airgap("verify", tmp_path / "0" / "x.tar").returncode == 0
    with open_file(tmp_path / "0" / "x.tar") as bundle:
        manifest = walked(bundle).nodes[bundle.store.resolve(Reference.parse(names(origin)[0])).digest].manifest
        source = json.loads(origin.blobs[origin.names[names(origin)[0]].digest])
        config = json.loads(origin.blobs[source["config"]["digest"]])
        assert manifest.config is not None
        assert manifest.config.digest == source["config"]["digest"]
        assert [layer.digest for layer in manifest.layers] == config["rootfs"]["diff_ids"]
        assert {layer.media_type for layer in manifest.layers} == {"application/vnd.oci.image.layer.v1.tar"}


def test_what_came_from_docker_is_read_by_containerd_and_skopeo(
    origin: MemoryStore, docker: Runtime, ctr: Runtime, tmp_path: Path
) -> None:
    name = names(origin)[0]
    pack(docker, tmp_path / "x.tar", name)

    loaded = kubectl_airgap(
        "load", tmp_path / "x.tar", "--runtime", "containerd", *ctr.flags, "--to", "from.docker:5000", env=ctr.env
    )
    read = run(require("skopeo"), "inspect", f"oci-archive:{tmp_path / 'x.tar'}:{name}")

    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(read.stdout)["Architecture"] == Platform.host().architecture, read.stderr


def test_an_image_that_is_not_there_is_told_with_the_nearest_name(
    origin: MemoryStore, runtime: Runtime, tmp_path: Path
) -> None:
    name = names(origin)[0]
    one = pack(runtime, tmp_path / "x.tar", name.replace(":1", ":11"))
    elsewhere = f"localhost/{name.partition('/')[2].rpartition('/')[2]}"
    two = pack(runtime, tmp_path / "x.tar", name, elsewhere, "quay.io/never/pulled:9")

    check_refusal(one, 4, "does not have", f"(there is {name}", "pull", "without --from")
    check_refusal(two, 5, "does not have 2 images", f"{elsewhere} (there is ", "quay.io/never/pulled:9")
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_packed_where_the_rest_may_be_missing(
    origin: MemoryStore, docker: Runtime, tmp_path: Path
) -> None:
    done = pack(docker, tmp_path / "x.tar", names(origin)[0], "quay.io/never/pulled:9", more="--keep-going")

    assert done.returncode == 5, done.stderr
    assert "1 image could not be read" in done.stderr
    with open_file(tmp_path / "x.tar") as bundle:
        assert [str(reference) for reference in bundle.references] == names(origin)[:1]


def test_docker_is_not_asked_for_what_a_digest_names_but_containerd_is(
    origin: MemoryStore, docker: Runtime, ctr: Runtime, tmp_path: Path
) -> None:
    pinned = f"{names(origin)[0]}@{origin.names[names(origin)[0]].digest}"

    refused = pack(docker, tmp_path / "x.tar", pinned)
    done = pack(ctr, tmp_path / "x.tar", pinned)

    check_refusal(refused, 5, "docker unpacks layers", pinned, "by tag alone")
    assert done.returncode == 0, done.stderr


def test_content_that_containerd_has_dropped_is_said_before_anything_is_written(ctr: Runtime, tmp_path: Path) -> None:
    store, name = MemoryStore(), f"quay.io/{uuid4().hex[:10]}/gone:1"
    add_image(store, name, platform=HOST)
    pack_into(tmp_path / "made.tar", store, [Reference.parse(name)])
    ctr("images", "import", tmp_path / "made.tar")
    manifest = json.loads(store.blobs[store.names[name].digest])
    ctr("content", "rm", manifest["layers"][0]["digest"])

    done = pack(ctr, tmp_path / "x.tar", name)

    check_refusal(done, 5, f"{name} lacks 1 of its blobs", "discard_unpacked_layers")
    assert not (tmp_path / "x.tar").exists()


def test_by_hand_plain_tar_and_docker_load_do_what_load_does(
    origin: MemoryStore, docker: Runtime, podman: Runtime, tmp_path: Path
) -> None:
    """The bundle from one runtime, unpacked and packed again by tar alone, goes into another."""
    name = names(origin)[0]
    pack(docker, tmp_path / "x.tar", name)
    with tarfile.open(tmp_path / "x.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    again = tmp_path / "again.tar"
    assert run("tar", "-C", tmp_path / "unpacked", "-cf", again, ".").returncode == 0
    podman("rmi", "--force", name)

    podman("load", "--input", tmp_path / "x.tar")
    docker("load", "--input", again)

    assert podman.has(name)
