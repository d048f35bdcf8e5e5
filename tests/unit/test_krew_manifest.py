from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.krew import Refused, check_manifest, install
from tests.support.tools import ROOT

MANIFEST = ROOT / "krew-manifests" / "airgap.yaml"
SPEC = ("spec",)
PLATFORM = ("spec", "platforms", 0)
LINUX = {"matchLabels": {"os": "linux", "arch": "amd64"}}


def altered(folder: Path, place: tuple[Any, ...], key: str, value: Any, name: str = "airgap.yaml") -> Path:
    manifest = yaml.safe_load(MANIFEST.read_text())
    target = manifest
    for step in place:
        target = target[step]
    target[key] = value
    (folder / name).write_text(yaml.safe_dump(manifest))
    return folder / name


def archive_of(*members: tuple[str, bytes, int], link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, mode in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "LICENSE"
            archive.addfile(entry)
    return gzip.compress(out.getvalue(), mtime=0)


LICENSE = ("LICENSE", b"words", 0o644)
PROGRAM = ("kubectl-airgap", b"#!/bin/sh\necho ran\n", 0o755)


def manifest_for(archive: bytes) -> dict[str, Any]:
    manifest = check_manifest(MANIFEST)
    manifest["spec"]["platforms"][0]["sha256"] = hashlib.sha256(archive).hexdigest()
    return manifest


def test_our_manifest_keeps_every_rule_of_krew() -> None:
    assert check_manifest(MANIFEST)["metadata"]["name"] == "airgap"


def test_the_short_description_is_as_short_as_those_in_the_index() -> None:
    assert len(check_manifest(MANIFEST)["spec"]["shortDescription"]) <= 50


@pytest.mark.parametrize(
    ("place", "key", "value", "why"),
    [
        pytest.param((), "apiVersion", "krew.dev/v1", "apiVersion", id="apiVersion"),
        pytest.param((), "kind", "Addon", "kind", id="kind"),
        pytest.param(("metadata",), "name", "air gap", "no name", id="name-with-a-space"),
        pytest.param(("metadata",), "name", "other", "not called other.yaml", id="name-unlike-the-file"),
        pytest.param(SPEC, "shortDescription", "", "no shortDescription", id="no-description"),
        pytest.param(SPEC, "shortDescription", "a\nb", "several lines", id="description-of-two-lines"),
        pytest.param(SPEC, "version", "0.1.0", "with a v", id="version-without-v"),
        pytest.param(SPEC, "version", "v1.2", "with a v", id="version-of-two-numbers"),
        pytest.param(SPEC, "platforms", [], "no platforms", id="no-platforms"),
        pytest.param(PLATFORM, "uri", "", "no uri", id="no-uri"),
        pytest.param(PLATFORM, "sha256", 0, "quote it", id="sha256-a-number"),
        pytest.param(PLATFORM, "sha256", "A" * 64, "lower case", id="sha256-in-upper-case"),
        pytest.param(PLATFORM, "sha256", "a" * 63, "64 digits", id="sha256-short"),
        pytest.param(PLATFORM, "bin", "", "no bin", id="no-bin"),
        pytest.param(PLATFORM, "bin", "../kubectl-airgap", "out of", id="bin-outside"),
        pytest.param(PLATFORM, "selector", {}, "empty", id="selector-empty"),
        pytest.param(PLATFORM, "selector", {"matchLabels": {"libc": "musl"}}, "libc", id="selector-of-another-key"),
        pytest.param(PLATFORM, "selector", {"matchLabels": {"os": "plan9"}}, "no platform", id="selector-unknown"),
        pytest.param(PLATFORM, "files", [], "empty", id="files-empty"),
        pytest.param(PLATFORM, "files", [{"from": "*", "to": ""}], "lacks", id="to-empty"),
        pytest.param(PLATFORM, "files", [{"from": "*", "to": "./"}], "not clean", id="to-not-clean"),
        pytest.param(PLATFORM, "files", [{"from": "*", "to": "../x"}], "not clean", id="to-outside"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(
    tmp_path: Path, place: tuple[Any, ...], key: str, value: Any, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        check_manifest(altered(tmp_path, place, key, value))


def test_two_platforms_for_one_system_are_refused(tmp_path: Path) -> None:
    platform = check_manifest(MANIFEST)["spec"]["platforms"][0]
    again = {**platform, "selector": {"matchExpressions": [{"key": "os", "operator": "In", "values": ["linux"]}]}}

    with pytest.raises(Refused, match="same system"):
        check_manifest(altered(tmp_path, SPEC, "platforms", [platform, again]))


def test_an_archive_is_installed_behind_one_link(tmp_path: Path) -> None:
    archive = archive_of(LICENSE, PROGRAM, ("_internal/part", b"x", 0o644))

    link = install(manifest_for(archive), archive, tmp_path)

    assert link == tmp_path / "bin" / "kubectl-airgap"
    assert link.resolve() == (tmp_path / "store/airgap/v0.1.0/kubectl-airgap").resolve()
    assert (link.resolve().parent / "_internal" / "part").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        pytest.param(archive_of(PROGRAM), "no LICENSE", id="no-license"),
        pytest.param(archive_of(LICENSE), "kubectl-airgap is not in", id="no-program"),
        pytest.param(archive_of(LICENSE, PROGRAM, link="alias"), "file type 50", id="symbolic-link"),
        pytest.param(archive_of(LICENSE, PROGRAM, ("a..b", b"", 0o644)), "names 'a..b'", id="two-dots-in-a-name"),
        pytest.param(archive_of(LICENSE, PROGRAM, ("/etc/x", b"", 0o644)), "names '/etc/x'", id="absolute-name"),
        pytest.param(b"BZh9", "neither", id="another-compression"),
    ],
)
def test_an_archive_that_krew_cannot_unpack_is_refused(tmp_path: Path, archive: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        install(manifest_for(archive), archive, tmp_path)


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="another sha256"):
        install(check_manifest(MANIFEST), archive_of(LICENSE, PROGRAM), tmp_path)
