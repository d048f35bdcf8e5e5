"""krew's rules for a manifest and for an archive, and its installation, so that they can be tested without krew.

Source: krew, `internal/index/validation`, `internal/download` and `internal/installation`, and its index's
`validate-krew-manifest`, as they were in 2026-05.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

API_VERSION = "krew.googlecontainertools.github.com/v1alpha2"
PLATFORMS = (
    *(("windows", arch) for arch in ("386", "amd64", "arm64")),
    *(("linux", arch) for arch in ("386", "amd64", "arm", "arm64", "ppc64le")),
    *(("darwin", arch) for arch in ("386", "amd64", "arm64")),
)
_VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


class Refused(Exception):
    """What krew would say no to."""


def check_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest as krew and the bot of its index do.

    Raises:
        Refused: the first rule that is broken.
    """
    manifest = yaml.safe_load(path.read_text())
    _check_head(manifest, path)
    spec = manifest["spec"]
    _check_spec(spec)
    for platform in spec["platforms"]:
        _check_platform(platform)
    for first, second in combinations(spec["platforms"], 2):
        _require(not _matching(first) & _matching(second), "two platforms match the same system")
    return dict(manifest)


def install(manifest: Mapping[str, Any], archive: bytes, root: Path) -> Path:
    """Unpack an archive into a krew root for linux/amd64 and link the plugin, as `krew install` does.

    Returns:
        The link in `root/bin` that kubectl starts.

    Raises:
        Refused: another hash, or an archive that krew does not unpack.
    """
    name = manifest["metadata"]["name"]
    platform = next(p for p in manifest["spec"]["platforms"] if ("linux", "amd64") in _matching(p))
    _require(hashlib.sha256(archive).hexdigest() == platform["sha256"], "the archive has another sha256")
    folder = root / "store" / name / manifest["spec"]["version"]
    unpacked = root / "unpacked"
    _unpack(archive, unpacked)
    _move(platform.get("files") or [{"from": "*", "to": "."}], unpacked, folder)
    shutil.rmtree(unpacked)
    _require(any(re.match(r"(?i)(licen[cs]e|copying)", file.name) for file in folder.iterdir()), "there is no LICENSE")
    program = folder / platform["bin"]
    _require(program.is_file(), f"{platform['bin']} is not in the archive")
    link = root / "bin" / f"kubectl-{name.replace('-', '_')}"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(program)
    return link


def _check_head(manifest: Any, path: Path) -> None:
    _require(manifest.get("apiVersion") == API_VERSION, "the apiVersion is another")
    _require(manifest.get("kind") == "Plugin", "the kind is not Plugin")
    name = manifest.get("metadata", {}).get("name", "")
    _require(re.fullmatch(r"[\w-]+", name) is not None, f"{name!r} is no name for a plugin")
    _require(path.name == f"{name}.yaml", f"the file is not called {name}.yaml")


def _check_spec(spec: Mapping[str, Any]) -> None:
    words = spec.get("shortDescription", "")
    _require(bool(words), "there is no shortDescription")
    _require("\n" not in words and "\r" not in words, "the shortDescription has several lines")
    version = str(spec.get("version", ""))
    _require(_VERSION.fullmatch(version) is not None, f"{version!r} is no version with a v in front")
    _require(bool(spec.get("platforms")), "there are no platforms")


def _check_platform(platform: Mapping[str, Any]) -> None:
    _require(bool(platform.get("uri")), "a platform has no uri")
    digest = platform.get("sha256")
    _require(isinstance(digest, str), "a sha256 is not text: quote it")
    _require(re.fullmatch("[0-9a-f]{64}", str(digest)) is not None, "a sha256 is not 64 digits in lower case")
    _require(bool(platform.get("bin")), "a platform has no bin")
    _require(_is_inside(platform["bin"]), "bin leads out of the plugin's folder")
    _require(bool(_matching(platform)), "a selector matches no platform that krew knows")
    if "files" in platform:
        _require(bool(platform["files"]), "files is there, but empty")
        for operation in platform["files"]:
            _check_operation(operation)


def _check_operation(operation: Mapping[str, str]) -> None:
    _require(bool(operation.get("from")) and bool(operation.get("to")), "an operation lacks from or to")
    clean = str(PurePosixPath(operation["to"]))
    _require(clean == operation["to"] and _is_inside(clean), f"to is not clean: {operation['to']!r}")


def _matching(platform: Mapping[str, Any]) -> set[tuple[str, str]]:
    selector = platform.get("selector") or {}
    labels = dict(selector.get("matchLabels") or {})
    rules = selector.get("matchExpressions") or []
    _require(bool(labels or rules), "a selector is empty")
    keys = {*labels, *(rule["key"] for rule in rules)}
    _require(keys <= {"os", "arch"}, f"a selector asks for {', '.join(sorted(keys - {'os', 'arch'}))}")
    return {(os, arch) for os, arch in PLATFORMS if _matches({"os": os, "arch": arch}, labels, rules)}


def _matches(system: Mapping[str, str], labels: Mapping[str, str], rules: list[Any]) -> bool:
    if any(system[key] != value for key, value in labels.items()):
        return False
    return all((system[rule["key"]] in rule.get("values", [])) == (rule["operator"] == "In") for rule in rules)


def _unpack(archive: bytes, folder: Path) -> None:
    _require(archive[:2] == b"\x1f\x8b", "the archive is neither .tar.gz nor .zip")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for member in members:
            _require(_is_inside(member.name) and ".." not in member.name, f"the archive names {member.name!r}")
            _require(member.isdir() or member.isreg(), f"unable to handle file type {member.type[0]}")
            members.extract(member, folder, filter="tar")


def _move(operations: list[Mapping[str, str]], source: Path, target: Path) -> None:
    for operation in operations:
        found = list(_found(source, operation["from"]))
        _require(bool(found), f"nothing in the archive matches {operation['from']!r}")
        folder = target / operation["to"]
        folder.mkdir(parents=True, exist_ok=True)
        for path in found:
            shutil.move(path, folder / path.name)


def _found(source: Path, pattern: str) -> Iterator[Path]:
    if (source / pattern).exists():
        yield source / pattern
    else:
        yield from sorted(source.glob(pattern.lstrip("/")))


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(otherwise)
