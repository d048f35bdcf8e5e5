"""What each runtime is asked, and how its answer is read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from airgap import strictjson
from airgap.adapters.runtimes import programs
from airgap.errors import InvalidInput, InvalidManifest, InvalidReference, StoreError
from airgap.references import Reference

KUBERNETES: Final = "k8s.io"  # the namespace of containerd in which the kubelet's images are
PIN: Final = "io.cri-containerd.pinned=pinned"
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")


class Kind(StrEnum):
    """The runtimes we know."""

    DOCKER = "docker"
    PODMAN = "podman"
    CONTAINERD = "containerd"
    NERDCTL = "nerdctl"


@dataclass(frozen=True)
class Held:
    """A name that a runtime has.

    Attributes:
        digest: what it stands for: of the config for docker and podman, of the manifest or index for containerd
            (docker with the image store of containerd answers as containerd does).
        media_type: of that; empty where the runtime does not say.
        pinned: whether it is kept from the kubelet's garbage collection.
    """

    digest: str
    media_type: str = ""
    pinned: bool = False


@dataclass(frozen=True)
class Engine:
    """Docker or podman: images are found by the digest of their config, and layers are kept unpacked.

    Attributes, of all kinds of runtimes:
        command: the program and the flags that say where.
        place: how errors name it.
        by_digest: whether its images may be named by a digest.
        has_content: whether it tells which content it has, and takes an image without what is there already.
        takes_docker, takes_oci: which lists its importer reads.
    """

    kind: Kind
    command: tuple[str, ...]
    place: str
    by_digest: bool = field(default=False, init=False)
    has_content: bool = field(default=False, init=False)
    takes_docker: bool = field(default=True, init=False)

    @property
    def takes_oci(self) -> bool:
        """Docker reads the OCI list where its image store is containerd's; podman might choose it over docker's."""
        return self.kind is Kind.DOCKER

    def images(self) -> dict[Reference, Held]:
        """All images that have a name."""
        form = "{{.ID}} {{.Repository}}:{{.Tag}}"
        return dict(_rows(programs.ask([*self.command, "image", "ls", "--no-trunc", "--format", form])))

    def contents(self) -> frozenset[str]:
        """It does not say."""
        return frozenset()

    def importer(self, platform: str) -> list[str]:
        """The same for every platform: the archive has one."""
        return [*self.command, "image", "load", "--quiet"]

    def exporter(self, names: Sequence[Reference]) -> list[str]:
        """The command that writes a docker-archive of images to its standard output."""
        options = ["--quiet", "--multi-image-archive", "--format", "docker-archive"]
        return [*self.command, "image", "save", *(options if self.kind is Kind.PODMAN else ()), *map(str, names)]

    def tag(self, digest: str, name: Reference) -> None:
        """Give an image that is there one more name."""
        programs.ask([*self.command, "image", "tag", digest, str(name)])

    def sizes(self, names: Sequence[Reference]) -> list[int]:
        """About how many bytes each image has, unpacked."""
        command = [*self.command, "image", "inspect", "--format", "{{.Size}}", *map(str, names)]
        return [int(word) for word in programs.ask(command).split() if word.isdigit()]

    def pin(self, names: Iterable[Reference]) -> None:
        """It cannot."""
        raise InvalidInput(
            f"{self.kind} cannot pin images: the kubelet asks containerd or CRI-O which it must keep",
            hint="leave --pin out; with CRI-O, list the images as pinned_images in crio.conf",
        )


@dataclass(frozen=True)
class Containerd:
    """containerd, through ctr: content is kept as it came, and found by the digests it came with."""

    command: tuple[str, ...]
    place: str
    kind: Kind = field(default=Kind.CONTAINERD, init=False)
    by_digest: bool = field(default=True, init=False)
    has_content: bool = field(default=True, init=False)
    takes_docker: bool = field(default=False, init=False)
    takes_oci: bool = field(default=True, init=False)

    def images(self) -> dict[Reference, Held]:
        """All images that have a name."""
        lines = programs.ask([*self.command, "images", "ls"]).decode("utf-8", "replace").splitlines()
        found: dict[Reference, Held] = {}
        for name, media_type, digest, *rest in (line.split() for line in lines[1:] if len(line.split()) > 3):
            if name.startswith("sha256:"):  # the kubelet's plugin enters each image by its id, too
                continue
            with contextlib.suppress(InvalidReference):
                found[Reference.parse(name)] = Held(digest, media_type, PIN in rest[-1].split(","))
        return found

    def contents(self) -> frozenset[str]:
        """Digests of all content in the namespace."""
        return frozenset(programs.ask([*self.command, "content", "ls", "--quiet"]).decode().split())

    def content(self, digest: str) -> Iterator[bytes]:
        """The bytes of one piece of content."""
        return programs.drain([*self.command, "content", "get", digest])

    def importer(self, platform: str) -> list[str]:
        """Reads an OCI layout; unpacks what it reads, so that a bad layer is found now."""
        return [*self.command, "images", "import", *(["--platform", platform] if platform else ()), "-"]

    def pin(self, names: Iterable[Reference]) -> None:
        """Label the images: the kubelet asks containerd which it must keep."""
        for name in names:
            programs.ask([*self.command, "images", "label", str(name), PIN])

    def check_namespace(self, namespace: str) -> None:
        """Refuse a namespace that nobody uses: what is loaded into it, nobody would find.

        Raises:
            InvalidInput: with those there are.
        """
        there = programs.ask([*self.command, "namespaces", "ls", "--quiet"]).decode("utf-8", "replace").split()
        if namespace not in (*there, KUBERNETES, "default"):
            raise InvalidInput(
                f"{self.place} has no namespace {namespace!r}; it has {', '.join(there) or 'none yet'}",
                hint=f"Kubernetes looks in {KUBERNETES}: leave --containerd-namespace out",
            )


@dataclass(frozen=True)
class Nerdctl:
    """containerd, through nerdctl, where there is no ctr."""

    command: tuple[str, ...]
    place: str
    kind: Kind = field(default=Kind.NERDCTL, init=False)
    by_digest: bool = field(default=False, init=False)
    has_content: bool = field(default=False, init=False)
    takes_docker: bool = field(default=False, init=False)
    takes_oci: bool = field(default=True, init=False)

    def images(self) -> dict[Reference, Held]:
        """All images that have a name; one that is for several platforms is listed once for each."""
        found: dict[Reference, Held] = {}
        for line in programs.ask([*self.command, "images", "--no-trunc", "--format", "{{json .}}"]).splitlines():
            with contextlib.suppress(InvalidReference):
                name, digest = _nerdctl_row(line)
                found[Reference.parse(name)] = Held(digest)
        return found

    def contents(self) -> frozenset[str]:
        """It does not say."""
        return frozenset()

    def importer(self, platform: str) -> list[str]:
        """Reads an OCI layout."""
        return [*self.command, "load", *(["--platform", platform] if platform else ())]

    def pin(self, names: Iterable[Reference]) -> None:
        """It cannot."""
        raise InvalidInput("nerdctl cannot label images", hint="ctr can: name --runtime containerd")


Runtime = Engine | Containerd | Nerdctl


def check_namespace(text: str) -> str:
    """Return `text` if it can be a namespace of containerd.

    Raises:
        InvalidInput: it cannot.
    """
    if not _NAMESPACE.fullmatch(text) or len(text) > 76:
        raise InvalidInput(f"{text!r} is no namespace of containerd", hint=f"Kubernetes uses {KUBERNETES}")
    return text


def _rows(answer: bytes) -> Iterator[tuple[Reference, Held]]:
    """Rows of `ID NAME`; images without a name, and names that we could not have made, are passed over."""
    for line in answer.decode("utf-8", "replace").splitlines():
        digest, _, name = line.strip().partition(" ")
        if "<none>" not in name:
            with contextlib.suppress(InvalidReference):
                yield Reference.parse(name), Held(digest if ":" in digest else f"sha256:{digest}")


def _nerdctl_row(line: bytes) -> tuple[str, str]:
    """Name and digest of one row.

    Raises:
        StoreError: the answer is of another form. InvalidReference: it has no name.
    """
    try:
        row = strictjson.loads(line, "a row of nerdctl images")
        name, digest = row.get("Name") or f"{row['Repository']}:{row['Tag']}", row["Digest"]
    except (InvalidManifest, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"nerdctl answers in a form we do not know: {error}", hint="use --runtime containerd"
        ) from error
    return str(name), str(digest)
