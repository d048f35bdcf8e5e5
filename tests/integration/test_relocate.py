"""`kubectl airgap relocate` as its user types it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS

BEFORE = "# é\r\nkind: Pod\r\nspec:\r\n  containers:\r\n  - image: 'quay.io/a/b:1' # why\r\n".encode()
AFTER = BEFORE.replace(b"quay.io/a/b", b"r.local/p/a/b")


def relocate(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [SCRIPTS / "kubectl-airgap", "relocate", *map(str, arguments)], input=stdin, capture_output=True, timeout=30
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.yaml").write_bytes(BEFORE)
    (source / "sub" / "b.yaml").write_bytes(BEFORE.replace(b"a/b", b"c/d"))
    (source / "sub" / "service.yaml").write_bytes(b"kind: Service\n")
    return source


def test_one_file_goes_to_standard_output_byte_for_byte(directory: Path) -> None:
    ended = relocate("-f", directory / "a.yaml", "--to", "r.local/p")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, AFTER, b"")
    assert relocate("-f", "-", "--to", "r.local/p", stdin=BEFORE).stdout == AFTER
    assert (directory / "a.yaml").read_bytes() == BEFORE


def test_a_directory_is_written_with_its_shape(directory: Path, tmp_path: Path) -> None:
    ended = relocate("-f", directory, "-R", "--to", "r.local/p", "-o", tmp_path / "out" / "deep")
    assert ended.returncode == 0
    assert ended.stdout == b""
    written = {str(path.relative_to(tmp_path / "out/deep")) for path in (tmp_path / "out/deep").rglob("*.yaml")}
    assert written == {"a.yaml", "sub/b.yaml", "sub/service.yaml"}
    assert (tmp_path / "out/deep/a.yaml").read_bytes() == AFTER
    assert (directory / "a.yaml").read_bytes() == BEFORE


def test_in_place_keeps_the_first_version_and_a_second_run_changes_nothing(directory: Path) -> None:
    (directory / "a.yaml").chmod(0o600)
    (directory / "link.yaml").symlink_to("a.yaml")
    for _ in range(2):
        ended = relocate("-f", directory, "-R", "--to", "r.local/p", "--in-place")
        assert ended.returncode == 0
        assert (directory / "a.yaml").read_bytes() == AFTER
        assert (directory / "a.yaml.orig").read_bytes() == BEFORE
    assert b"nothing to change" in ended.stderr
    assert (directory / "a.yaml").stat().st_mode & 0o777 == 0o600
    assert (directory / "link.yaml").is_symlink()
    assert not (directory / "sub" / "service.yaml.orig").exists()


def test_the_diff_is_one_that_patch_takes(directory: Path, tmp_path: Path) -> None:
    ended = relocate("-f", directory / "a.yaml", "--to", "r.local/p", "--diff")
    assert ended.returncode == 0
    assert ended.stdout.count(b"\n-") == 1
    patched = subprocess.run(
        ["git", "apply", "--unsafe-paths", "--directory=/", "-p1", "-"], input=ended.stdout, cwd=tmp_path, check=False
    )
    assert patched.returncode == 0
    assert (directory / "a.yaml").read_bytes() == AFTER


@pytest.mark.parametrize("flag", ["--dry-run", "--check", "--diff"])
def test_a_look_ahead_writes_nothing(directory: Path, tmp_path: Path, flag: str) -> None:
    ended = relocate("-f", directory, "-R", "--to", "r.local/p", flag)
    assert ended.returncode == 0
    assert b"r.local/p/c/d:1" in ended.stdout
    assert {path.read_bytes() for path in directory.rglob("a.yaml")} == {BEFORE}
    assert list(tmp_path.rglob("*.orig")) == []


def test_what_would_stay_outside_is_named_and_nothing_is_written(directory: Path) -> None:
    (directory / "a.yaml").write_bytes(BEFORE + b"  - image: '{{ .Values.x }}'\r\n")
    for flags in (["--check"], []):
        ended = relocate("-f", directory / "a.yaml", "--to", "r.local/p", *flags)
        assert ended.returncode == 5
        assert f"{directory}/a.yaml:6".encode() in ended.stderr
    assert ended.stdout == b""
    allowed = relocate("-f", directory / "a.yaml", "--to", "r.local/p", "--allow-incomplete")
    assert allowed.returncode == 0
    assert allowed.stdout.startswith(AFTER)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "r.local"), "no manifests to relocate"),
        (("-f", "source/a.yaml"), "--to"),
        (("-f", "source", "-R", "--to", "r.local"), "-o DIR"),
        (("-f", "source/a.yaml", "--to", "https://r.local"), "is no registry"),
        (("-f", "source/a.yaml", "--to", "registry/p"), "Docker Hub"),
        (("-f", "source/a.yaml", "--to", "r.local", "--naming", "same"), "unknown naming"),
        (("-f", "source/a.yaml", "--to", "r.local", "-o", "source"), "--in-place"),
        (("-f", "-", "--to", "r.local", "--in-place"), "standard input"),
        (
            ("-f", "source/a.yaml", "-f", "other/a.yaml", "--to", "r.local", "-o", "out"),
            "both be written",
        ),
        (("-f", "clash.yaml", "--to", "r.local"), "would both become"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    directory: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(directory.parent)
    (directory.parent / "other").mkdir()
    (directory.parent / "other" / "a.yaml").write_bytes(BEFORE)
    (directory.parent / "clash.yaml").write_bytes(BEFORE + b"  - image: ghcr.io/a/b:1\r\n")
    ended = relocate(*arguments, stdin=BEFORE)
    assert ended.returncode == 2
    assert message.encode() in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert (directory / "a.yaml").read_bytes() == BEFORE
    assert list(directory.parent.rglob("*.orig")) == []
