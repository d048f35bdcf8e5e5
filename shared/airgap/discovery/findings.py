"""What discovery answers with: findings, and what could not be examined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from airgap.references import Reference


class Certainty(StrEnum):
    """How it is known that a text is an image (docs/architecture.md, "Finding images")."""

    CERTAIN = "certain"  # a field that the Kubernetes API, or a rule of ours, defines as an image
    TRACED = "traced"  # seen in a rendered chart to follow a value
    LIKELY = "likely"  # parses as a full reference where people put images
    VALUES = "values"  # declared in a chart's values, behind a feature that is off
    HIDDEN = "hidden"  # named only inside another image's own config


@dataclass(frozen=True, slots=True)
class Place:
    """Where a finding stands.

    Attributes:
        source: the file, chart or object it was found through, as the user named it.
        path: inside it, such as `Deployment/web .spec.template.spec.containers[0].image` or `values: image.tag`.
        line: from 1, or 0 where the text was rendered and has no line of the user's.
    """

    source: str
    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}{f':{self.line}' if self.line else ''} {self.path}".rstrip()


@dataclass(frozen=True, slots=True)
class Finding:
    """One image reference, where it was found, and how sure that is."""

    reference: Reference
    written: str  # as it stands there, before normalising
    place: Place
    certainty: Certainty
    shape: str = "string"  # "string", or the keys that make it together, such as "registry+repository+tag"


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be examined, and why; a silent miss is the worst fault discovery can have."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """All findings of a run and all that could not be examined."""

    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def references(self) -> tuple[Reference, ...]:
        """Each image once, sorted by its full name."""
        return tuple(sorted({finding.reference for finding in self.findings}, key=str))

    def __add__(self, other: Discovery) -> Discovery:
        return Discovery(self.findings + other.findings, self.problems + other.problems)


NOTHING = Discovery(())


def joined(parts: Iterable[Discovery]) -> Discovery:
    """All of several."""
    result = NOTHING
    for part in parts:
        result += part
    return result
