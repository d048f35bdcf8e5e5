"""Loading where the real runtime is not on this machine: nerdctl, played by a program that keeps what it is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.cli import run
from tests.support.loading import HOST, OTHER, World, made
from tests.support.tools import require

from airgap.adapters.runtimes.kinds import Nerdctl
from airgap.bundles.reader import open_file
from airgap.errors import ContentMismatch
from airgap.operations import load
from airgap.operations.environment import Run
from airgap.platforms import Platform


@pytest.fixture
def world(tmp_path: Path) -> World:
    return made(tmp_path)


@pytest.fixture
def nerdctl(tmp_path: Path) -> Nerdctl:
    """Keeps its input as `given.tar` and its arguments in `words`; lists what stands in `rows`."""
    program = tmp_path / "nerdctl"
    keep = f'echo "$@" > {tmp_path / "words"}; cat > {tmp_path / "given.tar"}'
    program.write_text(f'#!/bin/sh\ncase "$1" in images) cat {tmp_path / "rows"};; load) {keep};; esac\n')
    program.chmod(0o755)
    (tmp_path / "rows").touch()
    return Nerdctl((str(program),), "nerdctl")


def row(world: World, short: str, digest: str) -> str:
    name, tag = world.name(short).rsplit(":", 1)
    return json.dumps({"Name": f"{name}:{tag}", "Repository": name, "Tag": tag, "Digest": digest}) + "\n"


def test_nerdctl_is_given_an_oci_layout_of_one_platform_and_asked_for_the_name(world: World, nerdctl: Nerdctl) -> None:
    with open_file(world.bundle(["tool:3"])) as bundle:
        loading = load.prepare(bundle, nerdctl, load.Wishes(platform=Platform.parse(OTHER)), Run())
        (world.directory / "rows").write_text(row(world, "tool:3", world.digest("tool:3")))
        loaded = load.execute(loading, Run())

    assert [str(outcome.target) for outcome in loaded.report.outcomes] == [world.name("tool:3")]
    assert (world.directory / "words").read_text().split() == ["load", "--platform", OTHER]
    given = f"oci-archive:{world.directory / 'given.tar'}:{world.name('tool:3')}"
    machine = Platform.parse(OTHER).architecture
    read = run(require("skopeo"), "inspect", "--override-arch", machine, given)
    assert json.loads(read.stdout)["Architecture"] == machine, read.stderr
    listed = run("tar", "-tf", world.directory / "given.tar").stdout
    assert all(layer.hex in listed for layer in world.layers("tool:3", OTHER))
    assert not any(layer.hex in listed for layer in world.layers("tool:3", HOST))


def test_an_importer_that_says_yes_and_keeps_nothing_is_found_out(world: World, nerdctl: Nerdctl) -> None:
    with open_file(world.bundle(["web:1"])) as bundle:
        loading = load.prepare(bundle, nerdctl, load.Wishes(), Run())
        with pytest.raises(ContentMismatch, match="not there"):
            load.execute(loading, Run())
        (world.directory / "rows").write_text(row(world, "web:1", world.digest("db:2")))
        with pytest.raises(ContentMismatch, match=world.digest("db:2")):
            load.execute(loading, Run())
