"""The whole path on other people's charts and manifests: `make corpus CORPUS=DIR`.

DIR has `charts/NAME/` and `manifests/NAME.yaml`, each with `NAME.images.txt` beside it: the images that it needs, one a
line (two spaces and `#` begin a note; a note that starts with `hidden:` marks one that stands in no pod spec; a line
that starts with `? ` is neither needed nor wrong). `NAME.values-only.txt` lists what only features that are off need.

For each: find its images and compare; generate images under those names; pack, verify, push; relocate; render; and ask
the registry for every image of the result, by digest. A digest that is written in a chart cannot be generated, so
such an image is packed by its tag and looked for by its name.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hack.world import World, world

from airgap.bundles import lock as locks
from airgap.references import Reference
from airgap.stores.registry import Connections, RegistryStore
from tests.support.cli import helm_relocate, kubectl_airgap, run

GOAL = 0.95
SECONDS = 300.0


@dataclass(frozen=True)
class Truth:
    """What a chart or manifest is known to need; references are normalised."""

    needed: frozenset[Reference]
    hidden: frozenset[Reference]
    neither: frozenset[Reference]
    values_only: frozenset[Reference]


@dataclass(frozen=True)
class Subject:
    """One chart or manifest, and what was found out about it."""

    path: Path
    truth: Truth
    found: frozenset[Reference] = frozenset()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def is_chart(self) -> bool:
        return self.path.is_dir()

    @property
    def name(self) -> str:
        return self.path.stem if self.path.is_file() else self.path.name

    @property
    def missed(self) -> frozenset[Reference]:
        return self.truth.needed - self.found

    @property
    def wrong(self) -> frozenset[Reference]:
        return self.found - self.truth.needed - self.truth.neither - self.truth.values_only

    @property
    def passes(self) -> bool:
        return not (self.missed - self.truth.hidden or self.wrong or self.problems)


def read_truth(beside: Path) -> Truth:
    needed, hidden, neither = set(), set(), set()
    for line in lines(beside.with_name(f"{beside.name}.images.txt")):
        text, _, note = line.partition("  #")
        if text.startswith("? "):
            neither.add(Reference.parse(text[2:].strip()))
            continue
        needed.add(Reference.parse(text.strip()))
        if note.strip().startswith("hidden:"):
            hidden.add(Reference.parse(text.strip()))
    off = {Reference.parse(line) for line in lines(beside.with_name(f"{beside.name}.values-only.txt"))}
    return Truth(frozenset(needed), frozenset(hidden), frozenset(neither), frozenset(off))


def lines(path: Path) -> Iterator[str]:
    text = path.read_text() if path.exists() else ""
    return (line for line in text.splitlines() if line.strip() and not line.startswith("#"))


def subjects(corpus: Path) -> list[Subject]:
    charts = [path.parent for path in sorted(corpus.glob("charts/*/Chart.yaml"))]
    manifests = sorted(corpus.glob("manifests/*.yaml"))
    beside = [(path, path) for path in charts] + [(path, path.with_suffix("")) for path in manifests]
    return [Subject(path, read_truth(base)) for path, base in beside]


def discover(subject: Subject) -> Subject:
    started = time.perf_counter()
    flag = "--chart" if subject.is_chart else "-f"
    done = kubectl_airgap("images", flag, subject.path, "-n", "ns", "-o", "json", seconds=SECONDS)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 5):
        return replace(subject, problems=(f"images: {done.stderr.strip()}",), seconds=seconds)
    items = json.loads(done.stdout)["items"]
    notes = tuple(done.stderr.strip().splitlines()) if done.returncode else ()
    found = frozenset(Reference.parse(item["image"]) for item in items)
    return replace(subject, found=found, seconds=seconds, notes=notes)


def packable(reference: Reference) -> Reference:
    """The name it is generated under: a digest cannot be chosen."""
    return Reference(reference.registry, reference.repository, reference.tag or "pinned")


def travel(subject: Subject, made: World) -> Subject:
    """Pack, verify, push, relocate, and look at the result."""
    try:
        problems = tuple(_travel(subject, made)) if subject.found else ()
    except AssertionError as error:
        problems = (str(error),)
    return replace(subject, problems=subject.problems + problems)


def _travel(subject: Subject, made: World) -> Iterator[str]:
    bundle = made.work / f"{subject.name}.tar"
    target = f"{made.inside.host}/{subject.name}"
    names = "".join(f"{packable(reference)}\n" for reference in subject.found).encode()
    must(kubectl_airgap("pack", "-q", "--images-file", "-", *made.mirrors, "-o", bundle, stdin=names, seconds=SECONDS))
    must(kubectl_airgap("verify", "-q", bundle, seconds=SECONDS))
    lock = bundle.with_suffix(".lock.yaml")
    must(kubectl_airgap("push", "-q", bundle, target, "--lock", lock, seconds=SECONDS))
    rendered = relocated(subject, target, made.work / subject.name)
    there = {entry.target: entry.digest for entry in locks.read(lock).entries}
    store = RegistryStore(Connections())
    for reference in sorted(rendered, key=str):
        place = packable(reference)
        if not str(reference).startswith(target + "/"):
            yield f"still outside: {reference}"
        elif place not in there:
            yield f"was never packed: {reference}"
        elif (found := store.find(place)) is None or found.digest != there[place]:
            yield f"not in the registry by its digest: {reference}"


def relocated(subject: Subject, target: str, out: Path) -> set[Reference]:
    """The images of the relocated chart, rendered by helm itself, or of the relocated manifest."""
    if subject.is_chart:
        must(helm_relocate(subject.path, "--to", target, "-n", "ns", "-o", out, seconds=SECONDS))
        done = must(run("helm", "template", "x", out, "-n", "ns", seconds=SECONDS))
        found = must(kubectl_airgap("images", "-f", "-", "-o", "name", stdin=done.encode(), seconds=SECONDS))
    else:
        flags = ("--to", target, "--allow-incomplete", "-o", out)
        must(kubectl_airgap("relocate", "-f", subject.path, *flags, seconds=SECONDS))
        found = must(kubectl_airgap("images", "-f", out, "-R", "-o", "name", "--allow-incomplete", seconds=SECONDS))
    return {Reference.parse(line) for line in found.splitlines()} - subject.truth.neither


def must(done: object) -> str:
    import subprocess

    assert isinstance(done, subprocess.CompletedProcess)
    command = " ".join(Path(word).name if number == 0 else str(word) for number, word in enumerate(done.args[:3]))
    assert done.returncode == 0, f"`{command} …` ended with {done.returncode}: {done.stderr.strip()[-600:]}"
    return str(done.stdout)


def pairs_of(subject: Subject) -> list[tuple[int, int]]:
    """Found and known: needed, of these hidden, and needed once a feature is on."""
    truth = subject.truth
    known = (truth.needed, truth.hidden, truth.values_only)
    return [(len(references & subject.found), len(references)) for references in known]


def report(all_of_them: Iterable[Subject]) -> int:
    print(f"{'':32} {'needed':>9} {'hidden':>9} {'when on':>9} {'wrong':>6} {'images':>8}")
    failed, sums = 0, [(0, 0)] * 3
    for subject in all_of_them:
        pairs = pairs_of(subject)
        sums = [(a + c, b + d) for (a, b), (c, d) in zip(sums, pairs, strict=True)]
        failed += not subject.passes
        cells = " ".join(f"{f'{found}/{known}':>9}" for found, known in pairs)
        verdict = "" if subject.passes else "  FAILED"
        print(f"{subject.name:32} {cells} {len(subject.wrong):>6} {subject.seconds:>6.1f} s{verdict}")
        for title, references in (
            ("missed", subject.missed),
            ("missed when on", subject.truth.values_only - subject.found),
            ("wrong", subject.wrong),
        ):
            for reference in sorted(map(str, references)):
                print(f"  {title}: {reference}")
        for line in (*subject.problems, *subject.notes):
            print(f"  {line}")
    texts = [f"{found}/{known}" for found, known in sums]
    print(f"\nneeded {texts[0]}, of these hidden {texts[1]}; when on {texts[2]}")
    if sums[0][0] < GOAL * sums[0][1]:
        print(f"less than {GOAL:.0%} of what is needed was found")
        failed += 1
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    chosen = subjects(parser.parse_args().corpus)
    if not chosen:
        sys.exit("there are no charts and no manifests in that folder")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        chosen = list(pool.map(discover, chosen))
        names = sorted({str(packable(reference)) for subject in chosen for reference in subject.found})
        with world(names) as made:
            chosen = list(pool.map(lambda subject: travel(subject, made), chosen))
    failed = report(chosen)
    print(f"corpus: {len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
