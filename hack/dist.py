"""Builds everything that a release has, into one folder: `python -m hack.dist [--output DIR] [--release-url URL]`.

A wheel and a source archive; the frozen program as a krew archive and as three Helm plugins; the krew manifest with
the hash of that archive; SHA256SUMS.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hack import archives
from hack.freeze import freeze

PLATFORM = "linux-amd64"
KREW_ARCHIVE = f"airgap-{PLATFORM}.tar.gz"
# folder of the repository → name of the plugin's folder in its archive, name of the archive without version
HELM_PLUGINS = {
    "helm-relocate": ("relocate", "relocate"),
    "helm-relocate-images": ("relocate-images", "relocate-images"),
    "helm3-relocate": ("relocate", "helm3-relocate"),
}
_MANIFEST = Path("krew-manifests/airgap.yaml")


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder to write; emptied first")
    parser.add_argument("--release-url", default="", help="where the archives will be downloaded from")
    given = parser.parse_args()
    build(given.output, given.release_url)
    for path in sorted(given.output.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path}")


def build(output: Path, release_url: str) -> None:
    """Fill `output` with a release; without `release_url` the krew manifest keeps its placeholder.

    Raises:
        SystemExit: a builder failed; its own words stand above.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    _build_python_packages(output)
    _write_archives(output, freeze())
    manifest = _filled(_MANIFEST.read_text(), release_url, archives.sha256(output / KREW_ARCHIVE))
    (output / _MANIFEST.name).write_text(manifest)
    archives.write_sums(output)


def version() -> str:
    """The version of the project, from its one source."""
    found = re.search(r'^__version__ = "(.+)"$', Path("shared/airgap/__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def _write_archives(output: Path, frozen: Path) -> None:
    wanted = {output / KREW_ARCHIVE: _krew_members(frozen)}
    for folder, (_, name) in HELM_PLUGINS.items():
        wanted[output / f"{name}-{version()}-{PLATFORM}.tgz"] = _helm_members(folder, frozen)
    with ThreadPoolExecutor() as threads:
        list(threads.map(archives.write, wanted.keys(), wanted.values()))


def _build_python_packages(output: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(output)]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode:
        sys.exit("error: hatchling failed")


def _krew_members(frozen: Path) -> dict[str, Path]:
    """Both programs are one: it looks at the name it was started by. Completion for kubectl is a script beside them."""
    return {
        "LICENSE": Path("LICENSE"),
        **_program(frozen, "", "kubectl-airgap"),
        "helm-relocate": frozen / "airgap",
        "kubectl_complete-airgap": Path("hack") / "kubectl_complete-airgap",
    }


def _helm_members(folder: str, frozen: Path) -> dict[str, Path]:
    top, _ = HELM_PLUGINS[folder]
    return {
        f"{top}/LICENSE": Path("LICENSE"),
        **archives.tree(Path("plugins") / folder, f"{top}/"),
        **_program(frozen, f"{top}/bin/", "helm-relocate"),
    }


def _program(frozen: Path, below: str, name: str) -> dict[str, Path]:
    members = archives.tree(frozen, below)
    members[below + name] = members.pop(f"{below}airgap")
    return members


def _filled(manifest: str, release_url: str, digest: str) -> str:
    manifest = re.sub(r"(?m)^(\s+version: ).*$", rf"\g<1>v{version()}", manifest)
    manifest = re.sub(r"(?m)^(\s+sha256: ).*$", rf'\g<1>"{digest}"', manifest)
    if release_url:
        manifest = re.sub(r"(?m)^(\s+uri: ).*$", rf"\g<1>{release_url.rstrip('/')}/{KREW_ARCHIVE}", manifest)
    return re.sub(r"\A#.*\n", "", manifest)


if __name__ == "__main__":
    main()
