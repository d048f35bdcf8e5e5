"""Faults on the way into and out of container runtimes, by their numbers in the catalogue."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS, check_refusal
from tests.support.loading import World, load, made
from tests.support.runtimes import Runtime

from airgap import durable, limits
from airgap.adapters.runtimes.choice import Choice
from airgap.bundles.reader import open_file
from airgap.errors import NoSpace
from airgap.operations import local
from airgap.operations.environment import Run
from airgap.references import Reference
from airgap.stores import tar
from airgap.stores.saved import SavedImages


@pytest.fixture
def world(tmp_path: Path) -> World:
    return made(tmp_path)


def test_f46_damaged_content_kills_the_importer_and_the_image_is_not_there(world: World, runtime: Runtime) -> None:
    bundle = world.bundle(["web:1"])
    layer = world.layers("web:1")[0]
    with open_file(bundle) as opened:
        rows = {blob.digest: blob for blob in opened.inventory.blobs}
    base = bundle.stat().st_size - len(tar.END) - max(row.offset + tar.padded(row.size) for row in rows.values())
    with bundle.open("r+b") as file:
        file.seek(base + rows[layer.digest].offset + layer.size // 2)
        file.write(bytes(8))

    done = load(bundle, runtime)

    check_refusal(done, 3, layer.digest, f"nothing of `{world.name('web:1')}` was loaded", "carry the bundle over")
    assert not runtime.has(world.name("web:1"))


@contextlib.contextmanager
def hanging(runtime: Runtime, verb: str, folder: Path, command: list[object]) -> Iterator[subprocess.Popen[str]]:
    """A command of ours that waits for a runtime's program, which never ends at one verb and is real at all others."""
    programs, mark = folder / "bin", folder / "mark"
    programs.mkdir()
    real = Path(runtime.command[0])
    stuck = f"head -c 100000 /dev/zero; echo $$ > {mark}; exec sleep 600"
    (programs / real.name).write_text(f'#!/bin/sh\ncase "$*" in *{verb}*) {stuck};; esac\nexec {real} "$@"\n')
    (programs / real.name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    words = [str(word) for word in (SCRIPTS / "kubectl-airgap", *command)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    assert not Path(f"/proc/{int(mark.read_text())}").exists()


def test_f40_ctrl_c_in_load_leaves_no_importer_running(world: World, ctr: Runtime) -> None:
    command = ["load", world.bundle(["web:1"]), "--runtime", "containerd", *ctr.flags]
    with hanging(ctr, "import", world.directory, command) as process:
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=10)

    assert process.returncode == 130, words
    assert "Traceback" not in words
    assert not ctr.has(world.name("web:1"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_f40_a_stopped_pack_leaves_nothing_of_what_docker_saved(
    world: World, docker: Runtime, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    load(world.bundle(["web:1"]), docker)
    target = tmp_path / "target"
    target.mkdir()
    command = ["pack", "--from", "docker", *docker.flags, "--image", world.name("web:1"), "-o", target / "x.tar"]
    with hanging(docker, "save", tmp_path, command) as process:
        process.send_signal(number)
        process.communicate(timeout=10)
        if number is signal.SIGKILL:  # nobody is left to end it; it ends when it writes next
            os.kill(int((tmp_path / "mark").read_text()), signal.SIGKILL)
            wait_for_end(int((tmp_path / "mark").read_text()))

    assert process.returncode == code
    assert list(target.iterdir()) == []


def test_f35_a_disk_that_fills_up_while_a_runtime_saves_is_told_and_nothing_stays(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # a file may not grow further
    try:
        with pytest.raises(NoSpace) as refusal:
            SavedImages((bytes(limits.CHUNK) for _ in range(4)), tmp_path, "docker")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "takes no files as large" in refusal.value.hint
    assert list(tmp_path.iterdir()) == []


def test_f35_what_cannot_fit_beside_the_bundle_is_refused_before_the_first_byte(
    world: World, docker: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(world.bundle(["web:1"]), docker)
    monkeypatch.setattr(durable, "free_space", lambda directory: 100_000)
    choice = Choice("docker", docker.address)
    names = [Reference.parse(world.name("web:1"))]

    with pytest.raises(NoSpace, match=r"what docker saves meanwhile needs \d{6} bytes, .* has 100000 free"):
        local.source_of(choice, names, str(tmp_path / "x.tar"), Run()).__enter__()


def wait_for_end(process: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
