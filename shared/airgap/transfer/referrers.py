"""What was attached to images: signatures, attestations, lists of parts. It comes along, and is found there again.

A manifest of OCI 1.1 names its subject and is found in a list; what cosign attaches has a tag made of the digest.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from airgap import limits
from airgap.errors import AccessDenied, AirgapError, ContentError, NotFound, StoreError
from airgap.references import Reference
from airgap.stores import Enlisting, Listing, Source, Target
from airgap.transfer import events, pool
from airgap.transfer.graph import Graph, Image, Node, Walker

_COSIGN: Final = ("sig", "att", "sbom")  # sigstore/cosign specs/SIGNATURE_SPEC.md; sha256 only
_COSIGN_TAG: Final = re.compile(rf"(sha256)-([0-9a-f]{{64}})\.(?:{'|'.join(_COSIGN)})")


@dataclass(frozen=True)
class Attached:
    """Images with what is attached to them.

    Attributes:
        graph: of both; a referrer is an image of it, named by its digest or by cosign's tag.
        subjects: referrer → the image, or the referrer, that it is about.
    """

    graph: Graph
    subjects: Mapping[Reference, Reference] = field(default_factory=dict)


def attached(
    graph: Graph, source: Source, workers: int, observe: events.Observer, stopped: threading.Event
) -> Attached:
    """Look for what is attached to each manifest and index of a graph, and to that in turn.

    Nothing that is found or not found here makes an image worse, so failures are told as notes. What is attached to
    platforms that were left out stays with them.

    Args:
        graph: whose images are all from `source`.
        source: one without lists has nothing to be found.
        workers: how many manifests are asked about at a time.
        observe: is told what could not be found out.
        stopped: ends it when set.
    """
    if not isinstance(source, Listing):
        return Attached(graph)
    search = _Search(graph, source, source)
    fresh: Sequence[Image] = graph.images
    for _ in range(limits.REFERRER_DEPTH):
        questions = search.questions(fresh)
        fresh = search.kept(questions, pool.every(search.answer, questions, workers, stopped))
    for note in search.notes():
        observe(events.Note(note))
    return search.result()


def subject_of(nodes: Mapping[str, Node], image: Image) -> str:
    """The digest that a referrer is about: by its own word, else by cosign's tag; empty where there is neither."""
    subject = nodes[image.root.digest].manifest.subject
    if subject is not None:
        return subject.digest
    match = _COSIGN_TAG.fullmatch(image.reference.tag or "")
    return ":".join(match.groups()) if match else ""


def left_behind(graph: Graph, referrers: Collection[Reference]) -> tuple[Image, ...]:
    """Those of the referrers whose subject does not move with the graph, and those that are about them in turn."""
    moving = [image for image in graph.images if image.reference not in referrers]
    waiting = [image for image in graph.images if image.reference in referrers]
    there: set[str] = set()
    while moving and waiting:
        there |= {manifest.digest for image in moving for manifest in graph.manifests_of(image)}
        moving = [image for image in waiting if subject_of(graph.nodes, image) in there]
        waiting = [image for image in waiting if subject_of(graph.nodes, image) not in there]
    return tuple(waiting)


def enlist(
    graph: Graph, pushed: Iterable[tuple[Image, Reference]], target: Target, workers: int, stopped: threading.Event
) -> dict[Reference, AirgapError]:
    """See to it that whoever asks the target for referrers is told of those that were pushed.

    Args:
        graph: of what was pushed.
        pushed: images and referrers with their names at the target.
        target: where they are; one without lists needs none.
        workers: how many lists are seen to at a time.
        stopped: ends it when set.

    Returns:
        Those that are not listed there, by their source names, with the reason.
    """
    if not isinstance(target, Enlisting):
        return {}
    lists: dict[tuple[str, str], list[Image]] = {}
    for image, name in pushed:
        subject = graph.nodes[image.root.digest].manifest.subject
        if subject is not None:
            lists.setdefault((name.name, subject.digest), []).append(image)

    def see_to(key: tuple[str, str]) -> None:
        target.enlist(*key, [_entry(graph.nodes[image.root.digest]) for image in lists[key]])

    answers = pool.each(see_to, list(lists), workers, stopped)
    failures = ((lists[key], answer) for key, answer in zip(lists, answers, strict=True))
    return {i.reference: failure for images, failure in failures if isinstance(failure, AirgapError) for i in images}


def _entry(node: Node) -> dict[str, Any]:
    """What a list says of a referrer (distribution-spec, "Pushing Manifests with Subject")."""
    manifest, document = node.manifest, json.loads(node.data)
    kind = manifest.artifact_type or (manifest.config.media_type if manifest.config else "")
    annotations = document.get("annotations")
    return {
        **manifest.descriptor.to_json({}),
        **({"artifactType": kind} if kind else {}),
        **({"annotations": annotations} if annotations else {}),
    }


@dataclass(frozen=True, slots=True)
class _Question:
    """What is attached to this manifest of this item?"""

    owner: Reference
    digest: str

    def named(self, tag: str | None = None, digest: str | None = None) -> Reference:
        """A name in the owner's repository."""
        return Reference(self.owner.registry, self.owner.repository, tag, digest)


class _Search:
    """What was asked and found so far."""

    def __init__(self, graph: Graph, source: Source, lists: Listing) -> None:
        self._graph = graph
        self._walker = Walker(source, known=graph)
        self._lists = lists
        self._asked: set[tuple[str, str]] = set()
        self._found: dict[Reference, Image] = {image.reference: image for image in graph.images}
        self._subjects: dict[Reference, Reference] = {}
        self._doubts: dict[str, list[str]] = {}
        self._silent: set[str] = set()  # registries that did not answer, however often they were asked

    def questions(self, images: Iterable[Image]) -> list[_Question]:
        """About each manifest of the images, once for each repository; so that circles end."""
        questions: list[_Question] = []
        for image in images:
            for manifest in Graph((image,), self._walker.nodes).manifests_of(image):
                if (image.reference.name, manifest.digest) not in self._asked:
                    self._asked.add((image.reference.name, manifest.digest))
                    questions.append(_Question(image.reference, manifest.digest))
        return questions

    def answer(self, question: _Question) -> list[Image]:
        """The referrers of one manifest."""
        return [*self._listed(question), *self._tagged(question)]

    def kept(self, questions: Sequence[_Question], answers: Sequence[Sequence[Image]]) -> list[Image]:
        """Those of the answers that are new."""
        fresh: list[Image] = []
        for question, images in zip(questions, answers, strict=True):
            for image in images:
                if image.reference not in self._found:
                    self._found[image.reference] = image
                    self._subjects[image.reference] = question.owner
                    fresh.append(image)
        return fresh

    def result(self) -> Attached:
        return Attached(self._walker.graph(self._found.values(), self._graph.unreadable), self._subjects)

    def notes(self) -> Iterator[str]:
        """One a repository, however much of it could not be asked."""
        for name, doubts in sorted(self._doubts.items()):
            more = f" (and {len(doubts) - 1} more like it)" if len(doubts) > 1 else ""
            yield f"what is attached to `{name}` may not all come along: {doubts[0]}{more}"

    def _listed(self, question: _Question) -> Iterator[Image]:
        if question.owner.registry in self._silent:
            return
        try:
            listed = self._lists.referrers(question.owner.name, question.digest)
        except (StoreError, ContentError) as error:
            self._failed(question.owner, error)
            return
        if listed.doubt:
            self._doubt(question.owner, listed.doubt)
        for digest in listed.digests:
            image = self._read(question.named(digest=digest))
            if image is not None and subject_of(self._walker.nodes, image) == question.digest:
                yield image

    def _tagged(self, question: _Question) -> Iterator[Image]:
        algorithm, _, encoded = question.digest.partition(":")
        for word in _COSIGN if algorithm == "sha256" else ():
            image = self._read(question.named(tag=f"{algorithm}-{encoded}.{word}"))
            if image is not None:
                yield image

    def _read(self, reference: Reference) -> Image | None:
        """A referrer with all that is below it; None where it is not there, or may not come along."""
        if reference.registry in self._silent:
            return None
        try:
            image = self._walker.image(reference)
        except NotFound as error:
            if reference.digest:  # listed, and yet not there; that a tag is not there is no news
                self._doubt(reference, error.message)
            return None
        except (StoreError, ContentError) as error:
            self._failed(reference, error)
            return None
        size = sum(blob.size for blob in Graph((image,), self._walker.nodes).blobs_of(image))
        if size <= limits.REFERRER:
            return image
        self._doubt(reference, f"`{reference}` has {size} bytes, more than {limits.REFERRER}")
        return None

    def _failed(self, about: Reference, error: AirgapError) -> None:
        """Whoever does not answer at all is not asked again: each question would wait as long."""
        self._doubt(about, error.message)
        if isinstance(error, StoreError) and not isinstance(error, AccessDenied):
            self._silent.add(about.registry)

    def _doubt(self, about: Reference, text: str) -> None:
        self._doubts.setdefault(about.name, []).append(text)
