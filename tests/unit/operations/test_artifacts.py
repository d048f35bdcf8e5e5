"""From what a user types to the names that files have in a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.bundles.artifacts import TITLE, Artifact
from airgap.bundles.composition import Label
from airgap.descriptors import Descriptor, parse_manifest
from airgap.errors import InvalidInput
from airgap.operations.artifacts import Wanted, gathered
from airgap.operations.sources import Sources


def made(sources: Sources, *files: str, images_only: bool = False) -> tuple[Artifact, ...]:
    with gathered(sources, Wanted(Label("app"), files=files, images_only=images_only)) as (_, artifacts):
        return artifacts


def titles(artifact: Artifact) -> list[str]:
    manifest = parse_manifest(artifact.manifest, Descriptor.of(artifact.manifest, MANIFEST), "a test")
    return [dict(layer.annotations)[TITLE] for layer in manifest.layers]


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/deploy.yaml", "a/only.yaml", "b/deploy.yaml", "b/c/deploy.yaml", "bin/tool", "bin/lib/x=y", "one"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a",), ["deploy.yaml", "only.yaml"]),
        (("a/deploy.yaml",), ["deploy.yaml"]),
        (("a", "b"), ["a/deploy.yaml", "b/deploy.yaml", "only.yaml"]),
        (("a/deploy.yaml", "b/c/deploy.yaml", "b/deploy.yaml"), ["a/deploy.yaml", "b/deploy.yaml", "c/deploy.yaml"]),
        (("a/deploy.yaml", "./a/../a/deploy.yaml"), ["deploy.yaml"]),
        (("a", "a"), ["deploy.yaml", "only.yaml"]),
    ],
)
def test_manifests_are_named_by_their_place_with_as_many_folders_as_tell_them_apart(
    folder: Path, names: tuple[str, ...], found: list[str]
) -> None:
    (artifact,) = made(Sources(manifests=names))
    assert titles(artifact) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (("bin/tool",), ["tool"]),
        (("bin/tool=tools/new",), ["tools/new"]),
        (("bin",), ["bin/lib/x=y", "bin/tool"]),
        (("bin/",), ["bin/lib/x=y", "bin/tool"]),
        (("bin=b/c/",), ["b/c/lib/x=y", "b/c/tool"]),
        (("bin/lib/x=y",), ["x=y"]),
        (("bin/lib/x=y=z",), ["z"]),
        (("bin", "one", "one=two", "one"), ["bin/lib/x=y", "bin/tool", "one", "two"]),
    ],
)
def test_files_are_named_by_their_folder_or_as_the_user_says(
    folder: Path, files: tuple[str, ...], found: list[str]
) -> None:
    (artifact,) = made(Sources(), *files)
    assert titles(artifact) == found


def test_the_folder_we_stand_in_has_a_name_too(folder: Path) -> None:
    (artifact,) = made(Sources(), ".")
    assert {title.partition("/")[0] for title in titles(artifact)} == {folder.name}


def test_links_within_a_folder_are_what_they_point_to_and_others_are_refused(folder: Path) -> None:
    (folder / "bin/link").symlink_to("tool")
    (artifact,) = made(Sources(), "bin")
    assert titles(artifact) == ["bin/lib/x=y", "bin/link", "bin/tool"]
    (folder / "bin/out").symlink_to("../one")
    with pytest.raises(InvalidInput, match="leads out"):
        made(Sources(), "bin")
    (folder / "bin/out").unlink()
    (folder / "bin/around").symlink_to(".")
    with pytest.raises(InvalidInput, match="a link to a directory"):
        made(Sources(), "bin")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("none",), "no such file"),
        (("",), "--file names nothing"),
        (("none=x",), "`none`: no such file"),
        (("empty",), "no files in"),
        (("bin/tool", "one=tool"), "would both be called 'tool'"),
        (("bin/tool=../x",), "may not be called '../x'"),
        (("bin/tool=/x",), "may not be called '/x'"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder: Path, files: tuple[str, ...], words: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInput, match=words):
        made(Sources(), *files)


@pytest.mark.parametrize("name", ["bin", ".", "bin/app.tar"], ids=["a folder", "the one above", "itself"])
def test_a_bundle_does_not_pack_itself(folder: Path, name: str) -> None:
    (folder / "bin/app.tar").touch()
    wanted = Wanted(Label("app"), (name,), place="bin/app.tar")
    with pytest.raises(InvalidInput, match="would lie in"), gathered(Sources(), wanted):
        pass


def test_a_manifest_with_a_name_that_cannot_travel_does_not_keep_its_images_here(folder: Path) -> None:
    (folder / "a/con.yaml").write_text("kind: Pod\n")
    with pytest.raises(InvalidInput, match=r"con\.yaml") as caught:
        made(Sources(manifests=("a",)))
    assert "--images-only" in caught.value.hint
    assert made(Sources(manifests=("a",)), images_only=True) == ()


def test_images_only_leaves_manifests_here_but_not_files_that_are_named(folder: Path) -> None:
    assert [artifact.kind for artifact in made(Sources(manifests=("a",)), "one", images_only=True)] == ["files"]
