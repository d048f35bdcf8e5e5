"""Bundles that pass by once, when the line to the target breaks and when they are large (docs/faults.md)."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import pytest
from tests.support.bundles import hollow, pack_into, write_hollow
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy
from tests.support.images import add_image, random_layer
from tests.support.memory import most_memory
from tests.support.registry import Registry, store_for

from airgap import limits
from airgap.bundles.reader import read
from airgap.bundles.signing import ANYBODY
from airgap.errors import StoreError
from airgap.operations import push
from airgap.operations.environment import Run
from airgap.operations.push import Pushed
from airgap.references import Reference
from airgap.relocation.policy import Relocation
from airgap.stores.memory import MemoryStore
from airgap.stores.stream import StreamReader

NAME = Reference.parse("r.io/a:1")
UPLOADS = r"/blobs/uploads/"
SIZE = 2_000_000
LARGE = 150_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One image with a layer of 2 MB."""
    store = MemoryStore()
    add_image(store, str(NAME), layers=[random_layer(random.Random(1), SIZE)], seed=1)
    path = tmp_path_factory.mktemp("packed") / "x.tar"
    pack_into(path, store, [NAME])
    return path.read_bytes()


def pushed(bundle: bytes, prefix: str) -> Pushed:
    run = Run(workers=2)
    opened = read(StreamReader(io.BytesIO(bundle)), ANYBODY)
    return push.execute(push.prepare(opened, Relocation.to(prefix), run), run)


def broken(proxy: FaultProxy) -> Fault:
    """The line breaks when half of the layer has arrived."""
    fault = Fault("PUT", UPLOADS, break_after=SIZE // 2, when=lambda _, size: size > SIZE // 2)
    proxy.faults.append(fault)
    return fault


def test_f16_what_is_still_kept_is_sent_again(
    bundle: bytes, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_WHOLE", 100_000)
    with fault_proxy(registry.host) as proxy:
        prefix = f"{proxy.host}/{registry.repository().partition('/')[2]}"
        fault = broken(proxy)
        done = pushed(bundle, prefix)
    assert fault.times == 0
    assert len(done.lock.entries) == 1


def test_f16_what_has_passed_is_sent_by_the_same_command_again(
    bundle: bytes, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_WHOLE", 100_000)
    monkeypatch.setattr(limits, "STREAM_WINDOW", 100_000)
    monkeypatch.setattr(limits, "CHUNK", 50_000)
    with fault_proxy(registry.host) as proxy:
        repository = registry.repository().partition("/")[2]
        broken(proxy)
        with pytest.raises(StoreError, match="cannot be sent twice") as caught:
            pushed(bundle, f"{proxy.host}/{repository}")
        assert "type the same command again" in caught.value.hint
        assert store_for(registry).find(Reference.parse(f"{registry.host}/{repository}/a:1")) is None
        assert len(pushed(bundle, f"{proxy.host}/{repository}").lock.entries) == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose layer is a hole."""
    digest = hashlib.sha256()
    for start in range(0, LARGE, limits.CHUNK):
        digest.update(bytes(min(limits.CHUNK, LARGE - start)))
    store, composition, _ = hollow(LARGE, f"sha256:{digest.hexdigest()}")
    path = tmp_path_factory.mktemp("large") / "x.tar"
    write_hollow(path, store, composition)
    return path


@pytest.mark.undisturbed
def test_f55_a_stream_takes_no_memory_to_speak_of(large: Path, other_registry: Registry, tmp_path: Path) -> None:
    prefix = other_registry.repository()
    assert most_memory("verify", "-", "-q", stdin=large) < 120
    assert most_memory("push", "-", prefix, "-q", "--lock", str(tmp_path / "lock.yaml"), stdin=large) < 120
    assert most_memory("pack", "--image", f"{prefix}/a:1", "-q", "-o", "-") < 120
