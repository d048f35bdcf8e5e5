"""Hostile names of files, where we write them and where we read what others wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.images import put

from airgap.bundles.artifacts import FILE_LAYER, FILES_TYPE, TITLE
from airgap.bundles.composition import Asked, Label
from airgap.bundles.reader import open_file
from airgap.bundles.verification import verify
from airgap.descriptors import OCI_EMPTY, OCI_MANIFEST
from airgap.errors import DamagedBundle, InvalidInput, InvalidManifest
from airgap.operations import inspect, push
from airgap.operations.artifacts import Wanted, gathered
from airgap.operations.environment import Run
from airgap.operations.sources import Sources
from airgap.references import Reference
from airgap.relocation.policy import Relocation
from airgap.stores.memory import MemoryStore

HOSTILE = {
    "B41-climbs": "../../x",
    "B41-climbs-later": "a/../../x",
    "B41-absolute": "/etc/x",
    "B41-nul": "a\0b",
    "B41-control": "a\x1b[2Jb",
    "B41-bidi": "a\u202eb",
    "B41-device": "CON",
    "B41-device-with-a-suffix": "bin/nul.txt",
    "B41-300-characters": "x" * 300,
    "B41-deep": "x/" * 600 + "x",
    "B41-backslash": "a\\b",
    "B41-drive": "C:x",
    "B41-empty": "",
    "B41-only-dots": "a/./b",
    "B41-two-slashes": "a//b",
    "B41-folder": "a/",
    "B41-dot-at-the-end": "a.",
    "B41-space-at-the-end": "a /b",
}
REFERENCE = Reference.parse("airgap.alt/files/x:1")


def bundle_of(path: Path, *titles: str) -> Path:
    """A bundle whose files have these names, as somebody else may have made it."""
    store = MemoryStore()
    layers = [put(store, title.encode() + b".", FILE_LAYER).to_json({TITLE: title}) for title in titles]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": FILES_TYPE,
        "config": put(store, b"{}", OCI_EMPTY).to_json(),
        "layers": layers,
    }
    root = put(store, json.dumps(document).encode(), OCI_MANIFEST)
    store.tag(REFERENCE, root, store.blobs[root.digest])
    pack_into(path, store, [REFERENCE], asked={REFERENCE: Asked((), "files")})
    return path


@pytest.mark.parametrize("title", [pytest.param(v, id=k) for k, v in HOSTILE.items() if v and v[-1] != "/"])
def test_a_hostile_name_is_refused_where_it_is_given(title: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    wanted = Wanted(Label("app"), files=(f"{path}={title}",))
    with pytest.raises(InvalidInput, match="may not be called") as caught, gathered(Sources(), wanted):
        pass
    assert caught.value.message.isprintable()


def test_b41_a_file_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / b"bin/\xff".decode("utf-8", "surrogateescape")).write_text("x")
    done = kubectl_airgap("pack", "--file", tmp_path / "bin", "-o", tmp_path / "x.tar")
    check_refusal(done, 2, "may not be called", "--file PATH=NAME")
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.parametrize("title", [pytest.param(value, id=key) for key, value in HOSTILE.items()])
def test_a_hostile_name_is_refused_by_whoever_reads_it(title: str, tmp_path: Path) -> None:
    with open_file(bundle_of(tmp_path / "x.tar", "fine", title)) as bundle:
        with pytest.raises(InvalidManifest, match="is refused"):
            inspect.contents(bundle)
        with pytest.raises(InvalidManifest, match="is refused"):
            push.prepare(bundle, Relocation.to("127.0.0.1:1"), Run())
        with pytest.raises(DamagedBundle, match="is refused"):
            verify(bundle)


@pytest.mark.parametrize(
    "titles",
    [pytest.param(("a", "a"), id="B41-twice"), pytest.param(("a", "a/b"), id="B41-through-a-file")],
)
def test_names_that_would_overwrite_each_other_are_refused(titles: tuple[str, ...], tmp_path: Path) -> None:
    with (
        open_file(bundle_of(tmp_path / "x.tar", *titles)) as bundle,
        pytest.raises(InvalidManifest, match="is refused"),
    ):
        inspect.contents(bundle)
