"""Damage to bundles, by the numbers in the catalogue (docs/faults.md): in a file, in parts, and in a stream."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.images import add_image, add_index, random_layer

from airgap.bundles.reader import Bundle, read
from airgap.bundles.signing import ANYBODY
from airgap.bundles.verification import verify
from airgap.errors import AirgapError
from airgap.operations import push
from airgap.operations.environment import Run
from airgap.references import Reference
from airgap.relocation.policy import Relocation
from airgap.stores import tar
from airgap.stores.archive import ArchiveReader
from airgap.stores.memory import MemoryStore
from airgap.stores.registry.uploads import Uploads
from airgap.stores.stream import StreamReader
from airgap.transfer.graph import walk

NAMES = ("r.io/a:1", "r.io/multi:2")
BLOCK = tar.BLOCK
# POSIX ustar: (field, offset, length).
HEADER_FIELDS = (
    ("name", 0, 100), ("mode", 100, 8), ("uid", 108, 8), ("gid", 116, 8), ("size", 124, 12), ("mtime", 136, 12),
    ("checksum", 148, 8), ("type", 156, 1), ("link", 157, 100), ("magic", 257, 6), ("version", 263, 2),
    ("user", 265, 32), ("group", 297, 32), ("major", 329, 8), ("minor", 337, 8), ("prefix", 345, 155),
    ("rest", 500, 12),
)  # fmt: skip


class Held:
    """A bundle in memory, as a medium."""

    place = "x.tar"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Nothing is open."""


def lying(data: bytes) -> Bundle:
    """As a file."""
    return read(ArchiveReader(Held(data)), ANYBODY)


def passing(data: bytes) -> Bundle:
    """As a stream."""
    return read(StreamReader(io.BytesIO(data)), ANYBODY)


@dataclass(frozen=True)
class Inside(Run):
    """A run whose registry is in memory."""

    registry: MemoryStore = field(default_factory=MemoryStore)

    def target(self, uploads: Uploads | None = None) -> MemoryStore:  # type: ignore[override]
        return self.registry


@dataclass(frozen=True)
class Whole:
    """A bundle, and where what is in it."""

    data: bytes
    origin: MemoryStore
    members: tuple[tar.Member, ...]

    @property
    def headers(self) -> list[int]:
        return [member.offset - BLOCK for member in self.members]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return packed(tmp_path_factory.mktemp("whole") / "x.tar", 1)


def packed(path: Path, seed: int) -> Whole:
    rng = random.Random(seed)
    store = MemoryStore()
    add_image(store, NAMES[0], layers=[random_layer(rng, 300), random_layer(rng, 900)], seed=seed)
    add_index(store, NAMES[1])
    pack_into(path, store, [Reference.parse(name) for name in NAMES])
    data = path.read_bytes()
    return Whole(data, store, tuple(members(data)))


def members(data: bytes) -> Iterator[tar.Member]:
    offset = 0
    while (member := tar.read_member(lambda count, at: data[at : at + count], offset, "x.tar")) is not None:
        yield member
        offset = member.end


def refuses(action: Callable[[], object]) -> bool:
    try:
        action()
    except AirgapError:
        return True
    return False


def verifies(bundle: Callable[[bytes], Bundle], data: bytes) -> Callable[[], object]:
    return lambda: verify(bundle(data), workers=2)


def pushes(bundle: Callable[[bytes], Bundle], data: bytes, registry: MemoryStore) -> Callable[[], object]:
    run = Inside(workers=2, registry=registry)
    return lambda: push.execute(push.prepare(bundle(data), Relocation.to("in.io/x"), run), run)


def check_sound(registry: MemoryStore, origin: MemoryStore) -> None:
    """Whatever has a name is what was packed, down to its last layer."""
    for name in [name for name in registry.names if "@" not in name]:
        source = Reference.parse(name.replace("in.io/x/", "r.io/"))
        assert registry.names[name].digest == origin.resolve(source).digest
        graph = walk(registry, [Reference.parse(name)])
        for image in graph.images:
            for blob in graph.blobs_of(image):
                assert registry.blobs[blob.digest] == origin.blobs[blob.digest]


WAYS = (lying, passing)


def survivors(whole: Whole, damaged: bytes, *ways: Callable[[bytes], Bundle]) -> list[str]:
    """What did not notice the damage; what was refused must have left nothing wrong."""
    blind = []
    for way in ways:
        if not refuses(verifies(way, damaged)):
            blind.append(f"verify {way.__name__}")
        registry = MemoryStore()
        if not refuses(pushes(way, damaged, registry)):
            blind.append(f"push {way.__name__}")
        check_sound(registry, whole.origin)
        if way is passing:
            assert registry.names == {}
    return blind


def test_a_whole_bundle_is_refused_by_nobody(whole: Whole) -> None:
    """What the rest of this file says is worth something only then."""
    for way in WAYS:
        registry = MemoryStore()
        assert not refuses(verifies(way, whole.data))
        assert not refuses(pushes(way, whole.data, registry))
        assert len(registry.names) == 2 * len(NAMES)
        check_sound(registry, whole.origin)


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def structural(whole: Whole) -> list[int]:
    """A place in every field of every kind of header, in every token of the documents, and in all padding."""
    rng = random.Random(2)
    heads = [*whole.headers[:6], whole.headers[-1]]
    places = [head + offset + rng.randrange(length) for head in heads for _, offset, length in HEADER_FIELDS]
    for member in whole.members:
        text = whole.data[member.offset : member.offset + member.size]
        if not member.name.startswith("blobs/"):
            places += [member.offset + match.start() for match in re.finditer(rb'"[^"]+"|\d+|[{}\[\]:,\n]', text)]
        places += [at for at in (member.offset + member.size, member.end - 1) if at < member.end]
    return [*places, *range(len(whole.data) - len(tar.END), len(whole.data), 101)]


def test_f46_a_flipped_bit_is_noticed_wherever_it_is(whole: Whole) -> None:
    rng = random.Random(46)
    anywhere = [(rng.randrange(len(whole.data)), (WAYS[number % 2],)) for number in range(1000)]
    missed = [
        (at, survivor)
        for at, ways in (*anywhere, *((at, WAYS) for at in structural(whole)))
        for survivor in survivors(whole, flipped(whole.data, at, rng.randrange(8)), *ways)
    ]
    assert missed == []


def cuts(whole: Whole) -> list[int]:
    """How much is left: anything, up to each boundary of a member, and all but the last block."""
    rng = random.Random(47)
    ends = [at for member in whole.members for at in (member.offset - BLOCK, member.offset, member.end)]
    size = len(whole.data)
    return sorted({*(rng.randrange(size) for _ in range(1000)), *ends, size - 1, size - BLOCK, size - 2 * BLOCK})


def test_f47_a_bundle_that_was_cut_is_noticed_wherever_it_was(whole: Whole) -> None:
    missed = [(keep, survivor) for keep in cuts(whole) for survivor in survivors(whole, whole.data[:keep], *WAYS)]
    assert missed == []


def flip(data: bytes, rng: random.Random) -> bytes:
    return flipped(data, rng.randrange(len(data)), rng.randrange(8))


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def cut(data: bytes, rng: random.Random) -> bytes:
    start, end = span(data, rng)
    return data[:start] + data[end:]


def swap(data: bytes, rng: random.Random) -> bytes:
    (start, end), (other, _) = sorted((span(data, rng), span(data, rng)))
    length = min(end - start, other - start, len(data) - other)
    one, two = data[start : start + length], data[other : other + length]
    return data[:start] + two + data[start + length : other] + one + data[other + length :]


def duplicate(data: bytes, rng: random.Random) -> bytes:
    start, end = span(data, rng)
    return data[:end] + data[start:end] + data[end:]


def append(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice([bytes(BLOCK), data[: rng.randrange(1, 3_000)], rng.randbytes(rng.randrange(1, 3_000))])


def span(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Some region; every other one is of whole blocks."""
    step = rng.choice([1, BLOCK])
    start = rng.randrange(len(data) // step) * step
    return start, min(start + step * rng.randint(1, 8), len(data))


MUTATIONS = (flip, truncate, cut, swap, duplicate, append)


def test_of_two_thousand_mutations_none_is_pushed(whole: Whole) -> None:
    """Each in a file and in a stream, by turns; flips come first to every structural field."""
    rng = random.Random(2_000)
    mutants = [flipped(whole.data, at, rng.randrange(8)) for at in structural(whole)]
    while len(mutants) < 2_000:
        mutant = MUTATIONS[len(mutants) % len(MUTATIONS)](whole.data, rng)
        if mutant != whole.data:
            mutants.append(mutant)
    missed = [(n, survivor) for n, m in enumerate(mutants) for survivor in survivors(whole, m, WAYS[n % 2])]
    assert missed == []
