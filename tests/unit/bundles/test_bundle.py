from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.bundles import pack_into, writing
from tests.support.images import add_image, add_index

from airgap import strictjson
from airgap.bundles import inventory as inventories
from airgap.bundles import lock as locks
from airgap.bundles.composition import Asked, Composition, Label, compose, digest_of
from airgap.bundles.inventory import REFERRER, Blob, Inventory, Item, Why
from airgap.bundles.lock import Lock, LockEntry
from airgap.bundles.reader import open_file
from airgap.bundles.verification import verify
from airgap.errors import AirgapError, DamagedBundle, DocumentError
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer.graph import walk

NAMES = ("docker.io/library/web:1", "quay.io/a/b:2", "r.io/multi:3")
DIGEST = "sha256:" + "a" * 64


WHY = Why("pod.yaml", "Pod/web .spec.containers[0].image", 7, "certain")
ASKED = {Reference.parse(NAMES[0]): Asked((WHY,))}
LABEL = Label("shop", "1.4.0")


def filled(seed: int = 1) -> tuple[MemoryStore, list[Reference]]:
    store = MemoryStore()
    add_image(store, NAMES[0], seed=seed)
    add_image(store, NAMES[1], seed=seed + 1)
    add_index(store, NAMES[2])
    return store, [Reference.parse(name) for name in NAMES]


def composed(store: MemoryStore, references: list[Reference]) -> Composition:
    return compose(walk(store, references), ASKED, LABEL)


def written(path: Path) -> Path:
    store, references = filled()
    pack_into(path, store, references, LABEL, asked=ASKED)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("whole") / "x.tar").read_bytes()


def test_composition_does_not_depend_on_the_order_of_anything() -> None:
    store, references = filled()
    one = composed(store, references)
    other = composed(store, list(reversed(references)))
    assert one.layout == other.layout


def test_manifests_and_configs_stand_before_layers_each_by_size() -> None:
    store, references = filled()
    blobs = composed(store, references).layout.blobs
    kinds = ["layer" if "layer" in blob.media_type else "small" for blob in blobs]
    assert kinds == sorted(kinds, reverse=True)
    for kind in ("small", "layer"):
        group = [(b.size, b.digest) for b, k in zip(blobs, kinds, strict=True) if k == kind]
        assert group == sorted(group)


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("image:r.io/not:here", id="nothing"),
        pytest.param("", id="no-subject"),
        pytest.param("referrer:r.io/a:sig", id="itself"),
        pytest.param("referrer:r.io/a:other", id="a-circle"),
    ],
)
def test_a_referrer_must_be_about_something(subject: str) -> None:
    items = [
        Item("image", Reference.parse("r.io/a:1"), DIGEST, "x/y"),
        Item(REFERRER, Reference.parse("r.io/a:sig"), DIGEST, "x/y", subject=subject),
        Item(REFERRER, Reference.parse("r.io/a:other"), DIGEST, "x/y", subject="referrer:r.io/a:sig"),
    ]
    data = inventories.dumps(Inventory("x", "", tuple(items), (Blob(DIGEST, 1, 512),)))
    with pytest.raises(DamagedBundle, match="refers to nothing"):
        inventories.loads(data, "a test")


def test_a_referrer_of_a_referrer_is_owned_by_the_image() -> None:
    image, about = Reference.parse("r.io/a:1"), (Reference.parse("r.io/a:sig"), Reference.parse("r.io/a:other"))
    items = (
        Item("image", image, DIGEST, "x/y"),
        Item(REFERRER, about[0], DIGEST, "x/y", subject=f"image:{image}"),
        Item(REFERRER, about[1], DIGEST, "x/y", subject=f"referrer:{about[0]}"),
    )
    assert Inventory("x", "", items, ()).owners == {about[0]: image, about[1]: image}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("r.io/a:1", "r.io/a:1"), "stands in it twice"),
        (("r.io/a@sha256:" + "b" * 64,), "is said to be `sha256:aaa"),
    ],
    ids=["a name that means two things", "a digest that names other content"],
)
def test_names_that_lie_about_their_content_are_refused(names: tuple[str, ...], words: str) -> None:
    items = tuple(Item("image", Reference.parse(name), DIGEST, "x/y") for name in names)
    data = inventories.dumps(Inventory("x", "", items, (Blob(DIGEST, 1, 512),)))
    with pytest.raises(DamagedBundle, match=words):
        inventories.loads(data, "a test")


def test_the_inventory_reads_as_it_was_written() -> None:
    store, references = filled()
    inventory = composed(store, references).inventory
    data = inventories.dumps(inventory)
    again = inventories.loads(data, "a test")
    assert replace(again, extra={}) == inventory
    assert data.endswith(b"\n")
    assert data == strictjson.dumps(json.loads(data))


def test_keys_of_a_later_version_are_kept() -> None:
    inventory = Inventory("x", "", (), (Blob(DIGEST, 1, 512),))
    value = json.loads(inventories.dumps(inventory))
    value["sequence"] = 7
    again = inventories.loads(strictjson.dumps(value), "a test")
    assert json.loads(inventories.dumps(again)) == value


def test_docker_is_told_of_each_image_once_with_all_its_names() -> None:
    store = MemoryStore()
    names = [Reference.parse(name) for name in ("r.io/a:1", "r.io/b:2")]
    descriptor = add_image(store, str(names[0]))
    store.tag(names[1], descriptor, store.blobs[descriptor.digest])
    pinned = Reference("r.io", "c", digest=descriptor.digest)
    store.tag(pinned, descriptor, store.blobs[descriptor.digest])
    composition = compose(walk(store, [*names, pinned]), {}, Label("x"))
    document = json.loads(dict(composition.layout.members)["manifest.json"])
    assert [entry["RepoTags"] for entry in document] == [["r.io/a:1", "r.io/b:2"]]


def test_docker_is_told_of_a_tag_once_although_an_older_image_was_pinned_by_it() -> None:
    store = MemoryStore()
    old, new = (add_image(store, "r.io/a:1", seed=seed) for seed in (1, 2))
    pinned = Reference("r.io", "a", "1", old.digest)
    store.names[str(pinned)] = old
    composition = compose(walk(store, [pinned, Reference.parse("r.io/a:1")]), {}, Label("x"))
    document = json.loads(dict(composition.layout.members)["manifest.json"])
    tags = {entry["Config"]: entry["RepoTags"] for entry in document}
    config = walk(store, [Reference.parse("r.io/a:1")]).nodes[new.digest].manifest.config
    assert config is not None
    assert sorted(tags.values()) == [[], ["r.io/a:1"]]
    assert tags[config.blob_path] == ["r.io/a:1"]


def test_of_several_platforms_docker_is_told_of_linux_amd64() -> None:
    store = MemoryStore()
    name = Reference.parse("r.io/m:1")
    add_index(store, str(name), ("linux/arm64", "linux/amd64", "windows/amd64"))
    document = json.loads(dict(compose(walk(store, [name]), {}, Label("x")).layout.members)["manifest.json"])
    config = json.loads(store.blobs["sha256:" + document[0]["Config"].rpartition("/")[2]])
    assert (config["os"], config["architecture"]) == ("linux", "amd64")


def test_a_bundle_that_is_whole_verifies(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(whole)
    with open_file(path) as bundle:
        proved = verify(bundle)
        assert [str(reference) for reference in bundle.references] == list(NAMES)
    assert proved.counts == {"image": 3}


def test_every_flipped_bit_is_noticed(tmp_path: Path, whole: bytes) -> None:
    """A sample of all places; the frame, the leading members, the blobs and the padding are all of them content."""
    rng = random.Random(4)
    leading = range(0, 9000, 97)
    places = [*leading, *(rng.randrange(len(whole)) for _ in range(300)), len(whole) - 1, len(whole) - 1024]
    path = tmp_path / "x.tar"
    missed = []
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            with open_file(path) as bundle:
                verify(bundle)
        except AirgapError:
            continue
        missed.append(place)
    assert missed == []


@pytest.mark.parametrize("keep", [0, 1, 511, 512, 513, 5000, -1, -512, -1024, -1025])
def test_a_bundle_that_was_cut_does_not_open(tmp_path: Path, whole: bytes, keep: int) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(whole[:keep] if keep else b"")
    with pytest.raises(DamagedBundle), open_file(path):
        pytest.fail("it opened")


def test_bytes_after_the_end_are_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(whole + bytes(512))
    with pytest.raises(DamagedBundle, match="512 bytes too many"), open_file(path):
        pytest.fail("it opened")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schemaVersion": 2}, "newer version"),
        ({"schemaVersion": "1"}, "no version"),
        ({"blobs": []}, "no content"),
        ({"blobs": [{"digest": DIGEST, "size": -1, "offset": 0}]}, "size"),
        ({"blobs": [{"digest": DIGEST, "size": 1, "offset": -5}]}, "offset"),
        ({"blobs": [{"digest": "sha256:../../x", "size": 1, "offset": 0}]}, "digest"),
        ({"items": [{"kind": "image"}]}, "damaged"),
        ({"items": 7}, "damaged"),
    ],
)
def test_an_inventory_that_cannot_be_is_refused(change: dict[str, object], words: str) -> None:
    base = {
        "schemaVersion": 1,
        "name": "x",
        "version": "",
        "items": [],
        "blobs": [{"digest": DIGEST, "size": 1, "offset": 0}],
    }
    with pytest.raises(DamagedBundle, match=words):
        inventories.loads(strictjson.dumps({**base, **change}), "a test")


def write_with(path: Path, composition: Composition, inventory: Inventory) -> None:
    """A bundle with another inventory, which `index.json` vouches for."""
    members = dict(composition.layout.members)
    old, new = members["airgap-inventory.json"], inventories.dumps(inventory)
    members["airgap-inventory.json"] = new
    members["index.json"] = members["index.json"].replace(digest_of(old).encode(), digest_of(new).encode())
    with writing(path, type(composition.layout).of(members.items(), composition.layout.blobs)) as writer:
        writer.finish()


def test_offsets_that_do_not_follow_from_the_sizes_are_refused(tmp_path: Path) -> None:
    store, references = filled()
    composition = composed(store, references)
    blobs = list(composition.inventory.blobs)
    blobs[1] = replace(blobs[1], offset=blobs[1].offset + 512)
    path = tmp_path / "x.tar"
    write_with(path, composition, replace(composition.inventory, blobs=tuple(blobs)))
    with pytest.raises(DamagedBundle, match="cannot be"), open_file(path):
        pytest.fail("it opened")


def test_an_index_that_names_another_image_than_the_inventory_is_refused(tmp_path: Path) -> None:
    store, references = filled()
    composition = composed(store, references)
    other = Item("image", Reference.parse("evil.io/x:1"), DIGEST, "application/vnd.oci.image.manifest.v1+json")
    changed = replace(composition.inventory, items=(*composition.inventory.items, other))
    path = tmp_path / "x.tar"
    write_with(path, composition, changed)
    with pytest.raises(DamagedBundle, match=r"evil\.io"), open_file(path):
        pytest.fail("it opened")


def test_a_lock_reads_as_it_was_written(tmp_path: Path) -> None:
    target = Reference.parse("registry.internal:5000/apps/a:1")
    entries = [
        LockEntry(Reference.parse("quay.io/b:1"), DIGEST),
        LockEntry(Reference.parse("quay.io/a:1"), DIGEST, target, ("linux/amd64", "linux/arm64")),
    ]
    path = tmp_path / "lock.yaml"
    locks.write(Lock.of(entries), path)
    assert locks.read(path) == Lock.of(reversed(entries))
    assert locks.read(path).targets == {"quay.io/a:1": target}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a lock"),
        ("apiVersion: v1\nkind: Pod\n", "not a lock"),
        ("apiVersion: airgap.dev/v1\nkind: ImageLock\nimages: []\n", "no images"),
        ("apiVersion: airgap.dev/v1\nkind: ImageLock\nimages: [{source: a}]\n", "no digest"),
        ("apiVersion: airgap.dev/v1\nkind: ImageLock\nimages: [{source: a, digest: 'latest'}]\n", "invalid digest"),
        ("apiVersion: airgap.dev/v1\nkind: ImageLock\nimages: [{digest: x}]\n", "no `source`"),
        ("{", "not YAML"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_a_lock_without_promises_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "lock.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError, match=words):
        locks.read(path)


def test_an_item_of_a_kind_that_nobody_knows_is_refused() -> None:
    store, references = filled()
    written = inventories.dumps(composed(store, references).inventory)
    with pytest.raises(DamagedBundle, match="the kind 'imagf'"):
        inventories.loads(written.replace(b'"kind":"image"', b'"kind":"imagf"'), "x")
