"""Other tools at the two jobs: many images into one file, and from there into a registry.

skopeo always; the others when they are found on PATH, as `go install` puts them there. Each does the jobs the way its
own documentation says, as fast as its own flags allow, without TLS, and is measured whole, start included.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scene import Scene, run


@dataclass(frozen=True)
class Peer:
    """A tool, and what a person would type.

    Attributes:
        pack: writes the scene's images below a directory, as one file at the end.
        push: puts what `pack` left there into a registry.
    """

    name: str
    version: str
    pack: Callable[[Scene, Path], None]
    push: Callable[[Scene, Path, str], None]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


def found() -> list[Peer]:
    """The peers on this machine."""
    return [
        Peer(name, _version(*version), pack, push)
        for name, version, pack, push in _KNOWN
        if shutil.which(name) is not None
    ]


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if any(c.isdigit() for c in line)]
    words = [word.strip("v,") for word in (lines[0].split() if lines else ())]
    return next((word for word in words if word[:1].isdigit() and "." in word), "")


def _short(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _tar(place: Path, folder: Path) -> None:
    run("tar", "-cf", str(place / "bundle.tar"), "-C", str(folder), ".")


def skopeo_pack(scene: Scene, place: Path) -> None:
    """What people do today: copy one image after another into a layout, then make a tar of it."""
    for name in scene.images:
        layout = f"oci:{place}/layout:{_short(name)}"
        run("skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{name}", layout)
    _tar(place, place / "layout")


def skopeo_push(scene: Scene, place: Path, target: str) -> None:
    for name in scene.images:
        layout = f"oci:{place}/layout:{_short(name)}"
        run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", layout, f"docker://{target}/{_short(name)}:1")


def crane_pack(scene: Scene, place: Path) -> None:
    """A layout an image, since its push takes no other."""
    (place / "layouts").mkdir()
    for name in scene.images:
        run("crane", "pull", "--format=oci", "--insecure", name, str(place / "layouts" / _short(name)))
    _tar(place, place / "layouts")


def crane_push(scene: Scene, place: Path, target: str) -> None:
    for name in scene.images:
        layout = str(place / "layouts" / _short(name))
        run("crane", "push", "--insecure", layout, f"{target}/{_short(name)}:1")


def regctl_pack(scene: Scene, place: Path) -> None:
    for name in scene.images:
        hosts = _plain(name)
        run("regctl", *hosts, "image", "copy", name, f"ocidir://{place}/layout:{_short(name)}")
    _tar(place, place / "layout")


def regctl_push(scene: Scene, place: Path, target: str) -> None:
    for name in scene.images:
        layout = f"ocidir://{place}/layout:{_short(name)}"
        run("regctl", *_plain(target), "image", "copy", layout, f"{target}/{_short(name)}:1")


def oras_pack(scene: Scene, place: Path) -> None:
    for name in scene.images:
        run("oras", "cp", "--from-plain-http", "--to-oci-layout", name, f"{place}/layout:{_short(name)}")
    _tar(place, place / "layout")


def oras_push(scene: Scene, place: Path, target: str) -> None:
    for name in scene.images:
        layout = f"{place}/layout:{_short(name)}"
        run("oras", "cp", "--from-oci-layout", "--to-plain-http", layout, f"{target}/{_short(name)}:1")


def hauler_pack(scene: Scene, place: Path) -> None:
    for name in scene.images:
        run("hauler", *_hauler(place), "store", "add", "image", name)
    run("hauler", *_hauler(place), "store", "save", "--filename", str(place / "bundle.tar.zst"))


def hauler_push(scene: Scene, place: Path, target: str) -> None:
    run("hauler", *_hauler(place), "store", "copy", "--plain-http", f"registry://{target}")


def imgpkg_pack(scene: Scene, place: Path) -> None:
    lock = place / "images.yml"
    images = "".join(f"- image: {name}\n" for name in scene.pinned)
    lock.write_text(f"apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n{images}")
    run("imgpkg", "copy", "--lock", str(lock), "--to-tar", str(place / "bundle.tar"), "--registry-insecure")


def imgpkg_push(scene: Scene, place: Path, target: str) -> None:
    run("imgpkg", "copy", "--tar", str(place / "bundle.tar"), "--to-repo", f"{target}/all", "--registry-insecure")


def _plain(name: str) -> tuple[str, str]:
    return "--host", f"reg={name.partition('/')[0]},tls=disabled"


def _hauler(place: Path) -> tuple[str, ...]:
    return ("--haulerdir", str(place / "hauler"), "--log-level", "error")


_KNOWN = (
    ("skopeo", ("skopeo", "--version"), skopeo_pack, skopeo_push),
    ("crane", ("crane", "version"), crane_pack, crane_push),
    ("regctl", ("regctl", "version"), regctl_pack, regctl_push),
    ("oras", ("oras", "version"), oras_pack, oras_push),
    ("hauler", ("hauler", "version"), hauler_pack, hauler_push),
    ("imgpkg", ("imgpkg", "--version"), imgpkg_pack, imgpkg_push),
)
