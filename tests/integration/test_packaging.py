"""What a release holds, built as `make dist` builds it, installed by krew's rules and by real Helm, and run."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support import krew
from tests.support.bundles import pack_into
from tests.support.cli import run
from tests.support.images import add_image
from tests.support.keys import ecdsa_pair
from tests.support.tools import ROOT, require

from airgap import __version__
from airgap.references import Reference
from airgap.stores.memory import MemoryStore

URL = "https://files.example.com/airgap/v1"
HELM_ARCHIVES = ("relocate", "relocate-images", "helm3-relocate")


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release folder; the frozen program in it is built anew only when the sources have changed."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    command = [sys.executable, "-m", "hack.dist", "--output", str(folder), "--release-url", URL]
    measured = {name for name in os.environ if name.startswith("COVERAGE_")}  # of our code, not of the builders
    environment = {name: value for name, value in os.environ.items() if name not in measured}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def krew_link(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as krew leaves it."""
    manifest = krew.check_manifest(release / "airgap.yaml")
    return krew.install(manifest, (release / "airgap-linux-amd64.tar.gz").read_bytes(), tmp_path_factory.mktemp("krew"))


def members(archive: Path) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(archive) as opened:
        yield from opened


def test_all_versions_agree(scripts: Path) -> None:
    written = [
        importlib.metadata.version("airgap-suite"),
        *(yaml.safe_load(path.read_text())["version"] for path in sorted(ROOT.glob("plugins/*/plugin.yaml"))),
        yaml.safe_load((ROOT / "krew-manifests/airgap.yaml").read_text())["spec"]["version"].removeprefix("v"),
        *(run(scripts / name, "--version").stdout.split()[1] for name in ("kubectl-airgap", "helm-relocate")),
    ]

    assert written == [__version__] * 7


def test_the_changelog_tells_about_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_wheel_has_every_module_and_nothing_else(release: Path) -> None:
    (wheel,) = release.glob("*.whl")
    sources = {
        path.relative_to(room).as_posix()
        for room in (ROOT / "shared", ROOT / "plugins")
        for path in room.glob("*/**/*.py")
        if path.relative_to(room).parts[0] in ("airgap", "airgap_cli", "kubectl_airgap", "helm_relocate")
    }

    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}

    assert names == sources


def test_the_manifest_names_the_archive_that_was_built(release: Path) -> None:
    platform = krew.check_manifest(release / "airgap.yaml")["spec"]["platforms"][0]

    assert platform["uri"] == f"{URL}/airgap-linux-amd64.tar.gz"
    assert f"{platform['sha256']}  airgap-linux-amd64.tar.gz" in (release / "SHA256SUMS").read_text().splitlines()


def test_sha256sum_agrees_with_every_line(release: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(list(release.iterdir())) - 1


def test_archives_have_no_links_no_times_and_no_owners(release: Path) -> None:
    entries = [entry for archive in release.glob("*linux-amd64*") for entry in members(archive)]

    assert len(entries) > 400
    assert all(entry.isreg() or entry.isdir() for entry in entries)
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(0, 0, 0, "")}


def test_the_same_program_packs_to_the_same_bytes(release: Path, tmp_path: Path) -> None:
    from hack import archives

    first, second = tmp_path / "first.tgz", tmp_path / "second.tgz"
    tree = archives.tree(ROOT / "plugins")
    archives.write(first, tree)
    archives.write(second, dict(reversed(tree.items())))

    assert first.read_bytes() == second.read_bytes()


def test_kubectl_runs_what_krew_installed(kubectl: str, krew_link: Path) -> None:
    done = run(kubectl, "airgap", "--version", env={"PATH": f"{krew_link.parent}{os.pathsep}{os.defpath}"})

    assert (done.returncode, done.stdout) == (0, f"kubectl-airgap {__version__}\n"), done.stderr


def test_every_verb_is_in_the_frozen_program(krew_link: Path, scripts: Path) -> None:
    frozen = run(krew_link, "--help")

    assert frozen.stdout == run(scripts / "kubectl-airgap", "--help").stdout


def test_kubectl_completes_by_the_link_that_the_caveat_names(kubectl: str, krew_link: Path) -> None:
    caveat = yaml.safe_load((ROOT / "krew-manifests/airgap.yaml").read_text())["spec"]["caveats"]
    command = next(line.strip() for line in caveat.splitlines() if line.strip().startswith("ln -s"))
    root = {"KREW_ROOT": str(krew_link.parent.parent), "PATH": f"{krew_link.parent}{os.pathsep}{os.defpath}"}
    made = run("sh", "-c", command, env=root)

    done = run(kubectl, "__complete", "airgap", "pac", env=root)

    assert made.returncode == 0, made.stderr
    assert done.stdout.startswith("pack\t"), done.stdout + done.stderr


def test_the_frozen_program_reads_manifests(krew_link: Path, tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'quay.io/a/b:1'}]}\n"
    (tmp_path / "pod.yaml").write_text(pod)

    done = run(krew_link, "images", "-f", tmp_path / "pod.yaml", "-o", "name")

    assert (done.returncode, done.stdout) == (0, "quay.io/a/b:1\n"), done.stderr


def test_the_frozen_program_signs_and_verifies(krew_link: Path, tmp_path: Path) -> None:
    store, bundle, pair = MemoryStore(), tmp_path / "x.tar", ecdsa_pair(tmp_path)
    add_image(store, "r.io/a:1")
    pack_into(bundle, store, [Reference.parse("r.io/a:1")])

    signed = run(krew_link, "sign", bundle, "--key", pair.private)
    verified = run(krew_link, "verify", bundle, "--key", pair.public)

    assert signed.returncode == 0, signed.stderr
    assert "it is signed with" in verified.stderr


@pytest.mark.parametrize("name", HELM_ARCHIVES)
def test_helm_archives_hold_one_plugin_with_its_program(release: Path, name: str) -> None:
    (archive,) = release.glob(f"{name}-{__version__}-*.tgz")
    top = name.removeprefix("helm3-")

    names = {entry.name for entry in members(archive)}

    assert {f"{top}/plugin.yaml", f"{top}/LICENSE", f"{top}/relocate.sh", f"{top}/bin/helm-relocate"} <= names
    assert {entry.partition("/")[0] for entry in names} == {top}


def test_helm_4_installs_its_archive_and_runs_the_program_inside(release: Path, helm: str, tmp_path: Path) -> None:
    homes = {f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")}
    environment = {**homes, "PATH": os.defpath}
    (archive,) = release.glob("relocate-0*.tgz")

    installed = run(helm, "plugin", "install", "--verify=false", archive, env=environment)
    done = run(helm, "relocate", "--version", env=environment)

    assert installed.returncode == 0, installed.stderr
    assert (done.returncode, done.stdout) == (0, f"helm-relocate {__version__}\n"), done.stderr


def test_the_frozen_program_gives_its_children_their_own_libraries(release: Path, tmp_path: Path) -> None:
    with tarfile.open(next(release.glob("relocate-0*.tgz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    seen = tmp_path / "seen"
    fake = tmp_path / "path" / "helm"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "library path: ${{LD_LIBRARY_PATH-unset}}" >"{seen}"\nexec {require("helm")} "$@"\n'
    )
    fake.chmod(0o755)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 0.1.0\n")

    run(
        tmp_path / "relocate/bin/helm-relocate",
        tmp_path / "app",
        "--to",
        "registry.internal",
        "--check",
        env={"PATH": f"{fake.parent}{os.pathsep}{os.defpath}", "HELM_BIN": str(fake)},
    )

    assert seen.read_text() == "library path: unset\n"
