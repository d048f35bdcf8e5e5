"""A push whose process is killed inside a blob, and the next one, which goes on there; with the commands users type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy
from tests.support.images import add_image, add_index, layer
from tests.support.registry import Registry, store_for
from tests.support.uploads import CHUNK, UPLOADS, answering, starts_at

from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

LARGE = 5 * CHUNK


@pytest.fixture(scope="module")
def bundle(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image with one layer of five chunks and some."""
    origin = MemoryStore()
    name = Reference.parse(registry.repository() + ":1")
    add_image(origin, str(name), layers=[layer(os.urandom(LARGE))])
    target = store_for(registry)
    engine.run(plan.plan(walk(origin, [name]), target, {name: name}), origin, target)
    path = tmp_path_factory.mktemp("bundle") / "app.tar"
    done = kubectl_airgap("pack", "--quiet", "--image", name, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def flags(bundle: Path, target: str) -> list[str]:
    return ["push", "--quiet", "--chunk-size", f"{CHUNK}", str(bundle), target]


def killed_at(proxy: FaultProxy, bundle: Path, target: str, fault: Callable[[Callable[[], None]], Fault]) -> None:
    """Push, and be killed when the fault says so."""
    running: list[subprocess.Popen[bytes]] = []
    proxy.faults.append(fault(lambda: running[0].kill()))
    running.append(subprocess.Popen([SCRIPTS / "kubectl-airgap", *flags(bundle, target)], stderr=subprocess.DEVNULL))
    assert running[0].wait(60) == -signal.SIGKILL


def in_the_third(kill: Callable[[], None]) -> Callable[[Message, int], bool]:
    def when(headers: Message, _size: int) -> bool:
        if starts_at(headers, 2 * CHUNK):
            kill()
            return True
        return False

    return when


def buffered(kill: Callable[[], None]) -> Fault:
    """As behind nginx, which passes a request on once it has all of it: the registry never sees the third chunk."""
    return Fault("PATCH", UPLOADS, answer=answering(502), when=in_the_third(kill))


def unbuffered(kill: Callable[[], None]) -> Fault:
    """The registry gets a part of the third chunk."""
    return Fault("PATCH", UPLOADS, break_after=CHUNK // 2, when=in_the_third(kill))


@pytest.fixture
def target(registry: Registry) -> str:
    return registry.repository().partition("/")[2]


def test_f38_the_next_push_sends_what_was_not_confirmed_and_no_byte_more(
    registry: Registry, bundle: Path, target: str
) -> None:
    journal = bundle.with_name("app.push.json")
    with fault_proxy(registry.host) as proxy:
        killed_at(proxy, bundle, f"{proxy.host}/{target}", buffered)
        assert journal.stat().st_mode & 0o777 == 0o600
        assert json.loads(journal.read_text())["uploads"][0]["offset"] == 2 * CHUNK
        before = proxy.took("PATCH")
        done = kubectl_airgap(*flags(bundle, f"{proxy.host}/{target}"))
        assert done.returncode == 0, done.stderr
        size = max(blob["size"] for blob in inventory(bundle))
        assert proxy.took("PATCH") - before == size - 2 * CHUNK
    assert not journal.exists()


def inventory(bundle: Path) -> list[dict[str, int]]:
    import tarfile

    with tarfile.open(bundle) as tar:
        member = tar.extractfile("airgap-inventory.json")
        assert member is not None
        blobs: list[dict[str, int]] = json.loads(member.read())["blobs"]
        return blobs


def test_f38_an_upload_that_the_registry_has_lost_track_of_begins_anew(
    registry: Registry, bundle: Path, target: str
) -> None:
    with fault_proxy(registry.host) as proxy:
        killed_at(proxy, bundle, f"{proxy.host}/{target}", unbuffered)
        done = kubectl_airgap(*flags(bundle, f"{proxy.host}/{target}"))
        assert done.returncode == 0, done.stderr
        size = max(blob["size"] for blob in inventory(bundle))
        assert proxy.took("PATCH") == 3 * CHUNK + size


def test_beside_a_bundle_that_cannot_be_written_the_journal_is_in_the_users_state(
    registry: Registry, bundle: Path, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airgap.operations import places
    from airgap.operations.environment import Run

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with places.open_bundle(str(bundle), Run()) as opened:
        place = places.journal_of(opened)
    assert place.parts[:-2] == (tmp_path / "state" / "airgap").parts
    assert place.parent.name == opened_digest(bundle)


def opened_digest(bundle: Path) -> str:
    import hashlib
    import tarfile

    with tarfile.open(bundle) as tar:
        member = tar.extractfile("airgap-inventory.json")
        assert member is not None
        return hashlib.sha256(member.read()).hexdigest()


@pytest.mark.parametrize("size", [pytest.param(text, id=f"B70-{text}") for text in ("0", "1", "10T", "5XB", "-1", "x")])
def test_a_chunk_size_that_cannot_be_meant_is_refused(bundle: Path, size: str) -> None:
    check_refusal(kubectl_airgap("push", f"--chunk-size={size}", bundle, "127.0.0.1:1/x"), 2, size)


def test_a_proxy_with_a_limit_is_passed_with_chunks_below_it(registry: Registry, bundle: Path, target: str) -> None:
    """nginx answers 413 to what is larger than its client_max_body_size."""
    limit = answering(413, b"<html>413 Request Entity Too Large</html>")
    faults = [Fault(m, UPLOADS, 99, answer=limit, when=lambda _, size: size > CHUNK) for m in ("PATCH", "PUT")]
    with fault_proxy(registry.host, *faults) as proxy:
        refused = kubectl_airgap("push", "--quiet", bundle, f"{proxy.host}/{target}")
        assert refused.returncode == 4
        assert "--chunk-size" in refused.stderr
        done = kubectl_airgap(*flags(bundle, f"{proxy.host}/{target}"))
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def several(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Reference]]:
    """A bundle of images that share layers, one of them for two platforms; and their names."""
    origin = MemoryStore()
    prefix = registry.repository()
    names = [Reference.parse(f"{prefix}/{name}:1") for name in ("one", "two", "multi")]
    shared = layer(os.urandom(2 * CHUNK))
    add_image(origin, str(names[0]), layers=[shared, layer(os.urandom(1000))])
    add_image(origin, str(names[1]), layers=[shared])
    add_index(origin, str(names[2]))
    source = store_for(registry)
    engine.run(plan.plan(walk(origin, names), source, {name: name for name in names}), origin, source)
    path = tmp_path_factory.mktemp("several") / "several.tar"
    images = [word for name in names for word in ("--image", name)]
    done = kubectl_airgap("pack", "--quiet", *images, "-o", path)
    assert done.returncode == 0, done.stderr
    return path, names


@pytest.fixture(scope="module")
def undisturbed(registry: Registry, several: tuple[Path, list[Reference]]) -> int:
    """How many requests a push of them takes."""
    with fault_proxy(registry.host) as proxy:
        done = kubectl_airgap(*flags(several[0], f"{proxy.host}/{registry.repository().partition('/')[2]}"))
        assert done.returncode == 0, done.stderr
        return len(proxy.requests)


@pytest.mark.parametrize("share", [pytest.param(n / 8, id=f"F38-{n}-of-8") for n in range(9)])
def test_wherever_a_push_is_killed_no_name_leads_to_a_part_and_the_next_one_completes_it(
    registry: Registry, several: tuple[Path, list[Reference]], undisturbed: int, target: str, share: float
) -> None:
    bundle, names = several
    with fault_proxy(registry.host) as proxy:
        running: list[subprocess.Popen[bytes]] = []

        def strike(_method: str, _path: str) -> Fault | None:
            if len(proxy.requests) <= share * undisturbed:
                return None
            running[0].kill()
            return Fault("", "", drop_answer=True)

        proxy.weather = strike
        words = flags(bundle, f"{proxy.host}/{target}")
        running.append(subprocess.Popen([SCRIPTS / "kubectl-airgap", *words], stderr=subprocess.DEVNULL))
        assert running[0].wait(60) in (-signal.SIGKILL, 0)
        check_names(registry, target, names)
        proxy.weather = None
        done = kubectl_airgap(*words)
        assert done.returncode == 0, done.stderr
    assert check_names(registry, target, names) == len(names)


def check_names(registry: Registry, target: str, names: list[Reference]) -> int:
    """Every name that is there leads to content that is all there; how many are."""
    reader = store_for(registry)
    there = [Reference.parse(f"{registry.host}/{target}/{name.repository}:1") for name in names]
    found = [name for name in there if reader.find(name) is not None]
    graph = walk(reader, found)
    for image in graph.images:
        assert all(reader.has(image.reference.name, blob) for blob in graph.blobs_of(image))
    return len(found)
