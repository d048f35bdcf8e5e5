"""Point manifests at the registry inside; charts go through `relocate_chart`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap import durable
from airgap.bundles import lock as locks
from airgap.discovery.findings import Problem
from airgap.errors import InvalidInput
from airgap.operations import manifest_files
from airgap.operations.manifest_files import ManifestFile
from airgap.operations.sources import Sources
from airgap.references import Reference
from airgap.relocation.manifests import RelocatedText, relocate
from airgap.relocation.policy import Relocation


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file as it is and as it will be."""

    file: ManifestFile
    text: RelocatedText


@dataclass(frozen=True, slots=True)
class RelocationPlan:
    """What a relocation would do.

    Attributes:
        files: every file that was looked at, changed or not.
        mapping: every image found, and its name at the target.
    """

    files: tuple[PlannedFile, ...]
    mapping: Mapping[Reference, Reference]

    @property
    def outside(self) -> tuple[Problem, ...]:
        """What will still point elsewhere, or could not be examined, and why."""
        return tuple(problem for planned in self.files for problem in planned.text.outside)

    @property
    def changed(self) -> tuple[PlannedFile, ...]:
        """The files that will differ."""
        return tuple(planned for planned in self.files if planned.text.changed)


def rule(target: str, naming: str = "strip", lock: Path | None = None, max_depth: int = 0) -> Relocation:
    """Where images go: below a target, or to what a lock says, or both, the lock first.

    Raises:
        InvalidInput: neither is given, or one of them makes no sense.
        DocumentError: the lock cannot be read.
    """
    if not target and lock is None:
        raise InvalidInput("it is not said where the images are", hint="name the registry with --to, or a --lock")
    explicit: dict[str, Reference] = {}
    if lock is not None:
        explicit = locks.read(lock).targets
        if not explicit:
            raise InvalidInput(
                f"the lock `{lock}` has no targets", hint="a lock with targets is written by `kubectl airgap push`"
            )
    return Relocation.to(target, naming, explicit, max_depth) if target else Relocation("", explicit=explicit)


def plan(sources: Sources, relocation: Relocation) -> RelocationPlan:
    """Compute every changed file, without writing one.

    Raises:
        InvalidInput: no manifests are named, one does not exist, or two images would get one name.
    """
    if not sources.manifests:
        raise InvalidInput("no manifests to relocate", hint="name them with -f; for charts use: helm relocate CHART")
    planned = tuple(
        PlannedFile(file, relocate(file.data, file.name, relocation))
        for file in manifest_files.read_all(sources.manifests, recursive=sources.recursive)
    )
    found = {source for one in planned for source in one.text.mapping}
    return RelocationPlan(planned, relocation.mapping(found))


def write(plan: RelocationPlan, destination: Path) -> tuple[Path, ...]:
    """Write every file of the plan, changed or not, below a directory.

    Raises:
        InvalidInput: two files would get one name, or one would replace what it was made from.
        StoreError, NoSpace: the directory cannot be written.
    """
    targets: dict[Path, PlannedFile] = {}
    for planned in plan.files:
        path = destination / planned.file.relative
        other = targets.setdefault(path, planned)
        if other is not planned:
            raise InvalidInput(
                f"`{other.file.name}` and `{planned.file.name}` would both be written to `{path}`",
                hint="name the directory above both, with -R",
            )
        if planned.file.path is not None and path.exists() and path.samefile(planned.file.path):
            raise InvalidInput(f"`{path}` would replace its own source", hint="that is asked for with --in-place")
    for path, planned in targets.items():
        with durable.explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_file(path, planned.text.after)
    return tuple(targets)


def write_in_place(plan: RelocationPlan) -> tuple[Path, ...]:
    """Write changed files where they lie; each first version stays beside it as `FILE.orig`.

    Raises:
        InvalidInput: one came from standard input.
        StoreError, NoSpace: a file cannot be written.
    """
    paths = [(planned.file.path, planned.text) for planned in plan.changed]
    if any(path is None for path, _ in paths):
        raise InvalidInput("standard input has no place to be changed in", hint="leave --in-place out")
    written: list[Path] = []
    for path, text in paths:
        assert path is not None
        real = path.resolve()  # through a link, so that it stays one
        mode = real.stat().st_mode & 0o777
        original = real.with_name(f"{real.name}.orig")
        if not original.exists():
            durable.write_file(original, text.before, mode=mode)
        durable.write_file(real, text.after, mode=mode)
        written.append(path)
    return tuple(written)
