"""`kubectl airgap` as the real kubectl finds it on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.cli import run

from airgap import __version__
from kubectl_airgap.app import VERBS


@pytest.fixture
def path(scripts: Path) -> dict[str, str]:
    """A PATH with our scripts and the system's, and none of the developer's plugins."""
    return {"PATH": f"{scripts}{os.pathsep}/usr/bin{os.pathsep}/bin"}


def test_kubectl_lists_the_plugin_without_a_warning(kubectl: str, path: dict[str, str]) -> None:
    done = run(kubectl, "plugin", "list", "--name-only", env=path)

    assert done.returncode == 0, done.stderr
    assert "kubectl-airgap" in done.stdout.splitlines()
    assert "warning" not in (done.stdout + done.stderr).lower()


def test_kubectl_starts_it(kubectl: str, path: dict[str, str]) -> None:
    done = run(kubectl, "airgap", "--version", env=path)

    assert (done.returncode, done.stdout) == (0, f"kubectl-airgap {__version__}\n")


def test_without_words_it_prints_help_as_kubectl_would_show_it(kubectl: str, path: dict[str, str]) -> None:
    done = run(kubectl, "airgap", env=path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: kubectl airgap ")
    assert done.stdout == run(kubectl, "airgap", "-h", env=path).stdout


def test_the_exit_code_of_a_wrong_word_comes_through(kubectl: str, path: dict[str, str]) -> None:
    done = run(kubectl, "airgap", "mount", env=path)

    assert (done.returncode, done.stdout) == (2, "")
    first, empty, hint = done.stderr.splitlines()
    assert first == "error: no such command 'mount'"
    assert empty == ""
    assert hint.startswith("hint: did you mean `kubectl airgap mounts`?")


def test_kubectl_completes_every_verb(kubectl: str, path: dict[str, str]) -> None:
    done = run(kubectl, "__complete", "airgap", "", env=path)

    assert done.returncode == 0
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert [word for word in offered if not word.startswith(":")] == list(VERBS)
    assert all("\t" in line for line in done.stdout.splitlines()[:-1]), done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_kubectl_completes_the_flags_of_a_verb(kubectl: str, path: dict[str, str], verb: str) -> None:
    done = run(kubectl, "__complete", "airgap", verb, "--", env=path)

    assert "--help\tShow this message and exit." in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == ":4"


def test_completion_falls_back_to_file_names_where_a_word_is_free(kubectl: str, path: dict[str, str]) -> None:
    done = run(kubectl, "__complete", "airgap", "inspect", "", env=path)

    assert done.stdout.splitlines() == [":0"]
