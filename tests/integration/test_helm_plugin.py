"""The three plugin folders, as real Helm 4 and Helm 3 install and start them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.support.cli import run
from tests.support.tools import ROOT

from airgap import __version__

PLUGINS = ROOT / "plugins"
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: app\nversion: 0.1.0\n",
    "templates/pod.yaml": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec: {containers: [{name: a, image: docker.io/a/b:1}]}\n"
    ),
}


@dataclass(frozen=True)
class Helm:
    """A helm with a home of its own."""

    program: str
    home: Path
    path: str

    def __call__(self, *arguments: str | Path) -> CompletedProcess[str]:
        environment = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return run(self.program, *arguments, env={"PATH": self.path, **environment})

    def install(self, folder: str) -> None:
        done = self("plugin", "install", PLUGINS / folder)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def helm_4(helm: str, scripts: Path, tmp_path: Path) -> Helm:
    return Helm(helm, tmp_path, f"{scripts}{os.pathsep}{os.defpath}")


@pytest.fixture
def helm_3(helm3: str, scripts: Path, tmp_path: Path) -> Helm:
    return Helm(helm3, tmp_path, f"{scripts}{os.pathsep}{os.defpath}")


@pytest.fixture(params=["4", "3"])
def installed(request: pytest.FixtureRequest) -> Helm:
    """`helm relocate`, installed into Helm 4 and into Helm 3, each by the folder made for it."""
    name, folder = {"4": ("helm_4", "helm-relocate"), "3": ("helm_3", "helm3-relocate")}[request.param]
    chosen: Helm = request.getfixturevalue(name)
    chosen.install(folder)
    return chosen


def test_helm_starts_the_plugin(installed: Helm) -> None:
    done = installed("relocate", "--version")

    assert (done.returncode, done.stdout) == (0, f"helm-relocate {__version__}\n"), done.stderr


def test_help_names_the_plugin_as_it_is_typed(installed: Helm) -> None:
    done = installed("relocate", "--help")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: helm relocate ")


def test_the_exit_code_comes_through(installed: Helm) -> None:
    done = installed("relocate", "--no-such-flag")

    assert done.returncode == 2
    assert "error: no such option: --no-such-flag" in done.stderr


def test_helm_completes_the_flags(installed: Helm) -> None:
    done = installed("__complete", "relocate", "--t")

    assert "--to" in [line.partition("\t")[0] for line in done.stdout.splitlines()], done.stdout + done.stderr


def test_helm_shows_the_plugin_among_its_own_commands(installed: Helm) -> None:
    line = next(line for line in installed("--help").stdout.splitlines() if line.startswith("  relocate "))

    assert line.endswith("Point a chart at the registry inside")


def test_both_plugins_of_helm_4_are_loaded_together(helm_4: Helm) -> None:
    helm_4.install("helm-relocate")
    helm_4.install("helm-relocate-images")

    listed = [line.split()[:3] for line in helm_4("plugin", "list").stdout.splitlines()[1:]]

    assert listed == [["relocate", __version__, "cli/v1"], ["relocate-images", __version__, "postrenderer/v1"]]
    assert helm_4("relocate", "--version").returncode == 0


def test_helm_4_renders_through_the_post_renderer(helm_4: Helm, tmp_path: Path) -> None:
    helm_4.install("helm-relocate-images")
    for name, text in CHART.items():
        file = tmp_path / "app" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    arguments = [f"--post-renderer-args={word}" for word in ("--to", "registry.internal/mirror")]
    done = helm_4("template", "r", tmp_path / "app", "--post-renderer", "relocate-images", *arguments)

    assert done.returncode == 0, done.stderr
    assert "registry.internal/mirror/a/b:1" in done.stdout
    assert "docker.io" not in done.stdout


@pytest.mark.parametrize("program", ["helm-relocate", "helm-relocate-images"])
def test_without_the_program_the_plugin_says_what_to_install(helm_4: Helm, tmp_path: Path, program: str) -> None:
    script = PLUGINS / program / "relocate.sh"

    done = run(script, "--version", env={"PATH": os.defpath, "HELM_PLUGIN_DIR": str(tmp_path)})

    assert done.returncode == 127
    assert done.stderr.startswith("error: the program helm-relocate is neither in the plugin nor on PATH\n\nhint: ")


def test_the_scripts_of_the_three_folders_are_one() -> None:
    texts = {path.read_text() for path in PLUGINS.glob("helm*/relocate.sh")}

    assert len(texts) == 1
