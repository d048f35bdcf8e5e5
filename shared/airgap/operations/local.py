"""Packing from a container runtime of this machine instead of from registries."""

from __future__ import annotations

import contextlib
import difflib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from airgap import durable
from airgap.adapters.runtimes import programs
from airgap.adapters.runtimes.choice import Choice, choose
from airgap.adapters.runtimes.kinds import Containerd, Engine, Nerdctl, Runtime
from airgap.descriptors import Descriptor
from airgap.errors import Cancelled, IncompleteError, InvalidInput, NotFound
from airgap.operations.environment import Run
from airgap.references import Reference
from airgap.stores import Source
from airgap.stores.containerd import ContentStore
from airgap.stores.saved import SavedImages
from airgap.transfer import events, graph


class LocalSource(Source, Protocol):
    """A source that knows what it has: of an image for many platforms, a runtime has pulled one."""

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is there."""
        ...


@contextlib.contextmanager
def source_of(choice: Choice, references: Sequence[Reference], place: str, run: Run) -> Iterator[LocalSource]:
    """The images of a runtime, as a source for as long as needed.

    Docker and podman give images away as one stream only; it is kept on the disk where the bundle goes.

    Args:
        choice: which runtime.
        references: the images that will be asked for.
        place: where the bundle goes.
        run: told what is done.

    Raises:
        NotFound, IncompleteError: the runtime does not have images, or not as they are asked for.
        NoSpace: the largest image alone would not fit. StoreError: the runtime refuses.
    """
    runtime = choose(choice)
    if isinstance(runtime, Nerdctl):
        raise InvalidInput("nerdctl gives no content away as it is", hint="ctr does: name --from containerd")
    if isinstance(runtime, Containerd):
        _check_there(references, runtime, {str(name) for name in runtime.images()})
        yield ContentStore(runtime)
        return
    _check_tags(references, runtime)
    _check_there(references, runtime, {str(name) for name in runtime.images()})
    directory = _directory(place)
    _check_space(runtime, references, directory, run)
    with (
        contextlib.closing(programs.drain(runtime.exporter(references))) as output,
        SavedImages(_until(output, run), directory, runtime.place) as saved,
    ):
        yield saved


def present(source: LocalSource, choice: graph.Choice) -> graph.Choice:
    """The same choice among what the runtime has."""
    return lambda children: choice(tuple(child for child in children if source.has("", child)))


def check_whole(images: graph.Graph, source: LocalSource) -> None:
    """Refuse images of which the runtime has kept a part.

    Raises:
        IncompleteError: each with how much is gone.
    """
    lacking = [
        f"{image.reference} lacks {len(gone)} of its blobs"
        for image in images.images
        if (gone := [blob for blob in images.blobs_of(image) if not source.has(image.reference.name, blob)])
    ]
    if lacking:
        raise IncompleteError(
            f"the runtime does not have {len(lacking)} of {len(images.images)} images whole",
            tuple(lacking),
            hint="containerd with discard_unpacked_layers keeps no layers: pack from registries, without --from",
        )


def _check_tags(references: Iterable[Reference], runtime: Engine) -> None:
    """Refuse what is pinned: of an image whose layers are unpacked, no registry's digest is left."""
    pinned = tuple(str(reference) for reference in references if reference.digest)
    if pinned:
        raise IncompleteError(
            f"{runtime.kind} unpacks layers, so nothing in it has the digests of",
            pinned,
            hint="name them by tag alone, or pack them from registries, without --from",
        )


def _check_there(references: Iterable[Reference], runtime: Runtime, names: set[str]) -> None:
    """Say which images are missing, each with the names that are most like it.

    Raises:
        NotFound: one. IncompleteError: several.
    """
    lines: list[str] = []
    for reference in references:
        if names.isdisjoint((str(reference), str(reference.without_tag()), str(reference.by_tag()))):
            near = difflib.get_close_matches(str(reference), sorted(names), 2)
            lines.append(f"{reference}" + (f" (there is {' and '.join(near)})" if near else ""))
    if not lines:
        return
    hint = f"pull it first, as in `{_pull(runtime)} IMAGE`, or pack from registries, without --from"
    if len(lines) == 1:
        raise NotFound(f"{runtime.place} does not have {lines[0]}", hint=hint)
    raise IncompleteError(f"{runtime.place} does not have {len(lines)} images", tuple(lines), hint=hint)


def _pull(runtime: Runtime) -> str:
    return "ctr --namespace k8s.io images pull" if isinstance(runtime, Containerd) else f"{runtime.kind} pull"


def _directory(place: str) -> Path:
    parent = Path(place).absolute().parent
    return parent if parent.is_dir() else Path(tempfile.gettempdir())


def _check_space(runtime: Engine, references: Sequence[Reference], directory: Path, run: Run) -> None:
    """What layers share is known only afterwards: the largest image must fit, and the sum is told.

    Raises:
        NoSpace: with both numbers.
    """
    sizes = runtime.sizes(references)
    durable.require_space(directory, max(sizes, default=0), f"what {runtime.kind} saves meanwhile")
    free = durable.free_space(directory)
    kept = f"keeping what {runtime.kind} saves in `{directory}` until the bundle is whole"
    run.observe(events.Note(f"{kept}: at most about {sum(sizes)} bytes, of {free} free"))


def _until(chunks: Iterable[bytes], run: Run) -> Iterator[bytes]:
    for chunk in chunks:
        if run.stopped.is_set():
            raise Cancelled("stopped")
        yield chunk
