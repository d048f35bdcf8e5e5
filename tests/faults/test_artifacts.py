"""Files and charts that somebody changes while they are packed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundles.composition import Label
from airgap.discovery.findings import Discovery
from airgap.errors import DocumentError, InvalidInput
from airgap.operations import pack
from airgap.operations.artifacts import Wanted, gathered
from airgap.operations.environment import Run
from airgap.operations.sources import Sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop/templates").mkdir(parents=True)
    (tmp_path / "shop/Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    (tmp_path / "map.yaml").write_text("kind: ConfigMap\n")
    (tmp_path / "tool").write_bytes(b"x" * 2_000_000)
    return tmp_path


def packing(folder: Path, change: Callable[[], object]) -> None:
    """Pack all of it, with a change after everything was looked at."""
    sources = Sources(manifests=(str(folder / "map.yaml"),), charts=(str(folder / "shop"),))
    place = str(folder / "x.tar")
    with gathered(sources, Wanted(Label("x"), files=(str(folder / "tool"),))) as (_, artifacts):
        prepared = pack.prepare(Discovery((), ()), place, pack.Wishes(), Run(), artifacts)
        change()
        pack.write(prepared, Run())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("tool", b"y" * 2_000_000, id="F45-a-file-of-the-same-size"),
        pytest.param("tool", b"x" * 1_999_999, id="F45-a-file-cut-short"),
        pytest.param("tool", b"x" * 2_000_001, id="F45-a-file-that-grows"),
        pytest.param("map.yaml", b"kind: Secret\n", id="F45-a-manifest"),
        pytest.param("shop/Chart.yaml", b"name: shop\nversion: 1.0.1\n", id="F45-a-chart"),
        pytest.param("shop/templates/new.yaml", b"kind: Pod\n", id="F45-a-new-file-of-a-chart"),
    ],
)
def test_f45_what_changes_while_it_is_packed_is_an_error_and_no_bundle(name: str, data: bytes, folder: Path) -> None:
    with pytest.raises(DocumentError, match="changed while it was packed") as caught:
        packing(folder, lambda: (folder / name).write_bytes(data))
    assert caught.value.hint
    assert not (folder / "x.tar").exists()


def test_f45_a_file_that_is_gone_is_an_error_and_no_bundle(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        packing(folder, (folder / "tool").unlink)
    assert not (folder / "x.tar").exists()


def test_f45_what_is_only_touched_is_no_change(folder: Path) -> None:
    packing(folder, (folder / "tool").touch)
    assert (folder / "x.tar").exists()
