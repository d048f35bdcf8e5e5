"""README says what is so: its help texts, its table of commands, its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubectl_airgap.app import VERBS
from tests.support.cli import run
from tests.support.tools import ROOT

README = (ROOT / "README.md").read_text()
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
_PROGRAMS = {"kubectl airgap": "kubectl-airgap", "helm relocate": "helm-relocate"}
_HELP = re.compile(r"^```text\n\$ (kubectl airgap|helm relocate)((?: [a-z]+)*) (?:-h|--help)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_every_help_text_is_what_the_program_says(scripts: Path) -> None:
    wrong = []
    for command, verb, text in _HELP.findall(README):
        said = run(scripts / _PROGRAMS[command], *verb.split(), "--help", env={"COLUMNS": "80"}).stdout
        if text.strip() != said.strip():
            wrong.append(f"{command}{verb} --help is now:\n{said}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_of_commands_has_every_verb(verb: str) -> None:
    assert re.search(rf"^\| `(?:kubectl airgap|…) {verb}\b", README, re.MULTILINE)


def test_the_table_of_commands_has_helm_relocate() -> None:
    assert re.search(r"^\| `helm relocate\b", README, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    targets = [link.partition("#")[0] for link in _LINK.findall(document.read_text()) if "://" not in link]

    assert [target for target in targets if target and not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"(?:`|^|\$ )(?:[A-Z]+=\S+ )*make ([a-z]+)", document.read_text(), re.MULTILINE))

    assert named <= known
