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
def source_of(
    choice: Choice, references: Sequence[Reference], place: str, run: Run, *, keep_going: bool = False
) -> Iterator[LocalSource]:
    """The images of a runtime, as a source for as long as needed.

    Docker and podman give images away as one stream only; it is kept on the disk where the bundle goes.

    Args:
        choice: which runtime.
        references: the images that will be asked for.
        place: where the bundle goes.
        run: told what is done.
        keep_going: images that are not there may be missing, unless all of them are.

    Raises:
        NotFound, IncompleteError: the runtime does not have images, or not as they are asked for.
        NoSpace: the largest image alone would not fit. StoreError: the runtime refuses.
    """
    runtime = choose(choice)
    if isinstance(runtime, Nerdctl):
        raise InvalidInput("nerdctl gives no content away as it is", hint="ctr does: name --from containerd")
    if isinstance(runtime, Engine):
        _check_tags(references, runtime)
    there = _there(references, runtime, keep_going=keep_going)
    if isinstance(runtime, Containerd):
        yield ContentStore(runtime)
        return
    directory = _directory(place)
    _check_space(runtime, there, directory, run)
    with (
        contextlib.closing(programs.drain(runtime.exporter(there))) as output,
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


def _there(references: Sequence[Reference], runtime: Runtime, *, keep_going: bool) -> list[Reference]:
    """The images that the runtime has; those it lacks are told with the names that are most like theirs.

    Raises:
        NotFound: it lacks one. IncompleteError: it lacks several.
    """
    names = {str(name) for name in runtime.images()}
    missing = [r for r in references if names.isdisjoint((str(r), str(r.without_tag()), str(r.by_tag())))]
    if not missing or (keep_going and len(missing) < len(references)):
        return [reference for reference in references if reference not in missing]
    lines = tuple(f"{reference}{_like(str(reference), names)}" for reference in missing)
    hint = f"pull it first, as in `{_pull(runtime)} IMAGE`, or pack from registries, without --from"
    if len(lines) == 1:
        raise NotFound(f"{runtime.place} does not have {lines[0]}", hint=hint)
    raise IncompleteError(f"{runtime.place} does not have {len(lines)} images", lines, hint=hint)


def _like(wanted: str, names: set[str]) -> str:
    """Podman calls `localhost/web:dev` what was built as `web:dev`; others are misspelt."""
    last = wanted.rpartition("/")[2]
    near = sorted(name for name in names if name.rpartition("/")[2] == last)
    near = near or difflib.get_close_matches(wanted, sorted(names), 2)
    return f" (there is {' and '.join(near[:2])})" if near else ""


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
