"""`kubectl airgap images` as its user types it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.support.cli import SCRIPTS, Ended, kubectl_airgap

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
      - name: web
        image: nginx
        args: [--helper-image=quay.io/a/helper:1]
"""
CRONJOB = "kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: 'busybox:1'}]}}}}}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with manifests, one of them further down, and a file that is none."""
    (tmp_path / "web.yaml").write_text(DEPLOYMENT)
    (tmp_path / "README.md").write_text("image: not/this:1")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "job.yml").write_text(CRONJOB)
    return tmp_path


def images(*arguments: str, stdin: str = "") -> Ended:
    return kubectl_airgap("images", *arguments, stdin=stdin)


def test_names_come_sorted_in_full_one_a_line(directory: Path) -> None:
    ended = images("-f", str(directory), "-R", "-o", "name")
    assert ended.stdout.splitlines() == [
        "docker.io/library/busybox:1",
        "docker.io/library/nginx:latest",
        "quay.io/a/helper:1",
    ]
    assert (ended.stderr, ended.returncode) == ("", 0)


def test_a_directory_is_entered_only_when_asked(directory: Path) -> None:
    assert "busybox" not in images("-f", str(directory), "-o", "name").stdout
    assert "busybox" in images("-f", str(directory), "--recursive", "-o", "name").stdout


def test_the_table_says_how_and_where_each_image_is_known(directory: Path) -> None:
    lines = images("-f", str(directory / "web.yaml")).stdout.splitlines()
    assert lines[0].split() == ["IMAGE", "CERTAINTY", "PLACES", "FIRST"]
    assert lines[1].split(maxsplit=3)[:3] == ["docker.io/library/nginx:latest", "certain", "1"]
    assert lines[1].endswith(f"{directory}/web.yaml:10 Deployment/web .spec.template.spec.containers[0].image")
    assert lines[2].split()[:2] == ["quay.io/a/helper:1", "likely"]
    assert "WRITTEN" in images("-f", str(directory / "web.yaml"), "-o", "wide").stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_json_and_yaml_carry_every_finding(directory: Path, output: str) -> None:
    ended = images("-f", str(directory / "web.yaml"), "-o", output)
    value = (json.loads if output == "json" else yaml.safe_load)(ended.stdout)
    assert (value["apiVersion"], value["kind"], value["problems"]) == ("airgap.dev/v1", "ImageList", [])
    assert value["items"][0] == {
        "image": "docker.io/library/nginx:latest",
        "written": "nginx",
        "certainty": "certain",
        "source": f"{directory}/web.yaml",
        "path": "Deployment/web .spec.template.spec.containers[0].image",
        "line": 10,
        "shape": "string",
    }


def test_standard_input_single_images_and_lists_are_sources_too(tmp_path: Path) -> None:
    listed = tmp_path / "images.txt"
    listed.write_text("\ufeff# what the vendor says\n\nquay.io/a/b:1  # the server\r\n  c/d\n")
    ended = images("-f", "-", "--image", "x/y:2", "--images-file", str(listed), "-o", "name", stdin=DEPLOYMENT)
    assert ended.stdout.split() == [
        "docker.io/c/d:latest", "docker.io/library/nginx:latest", "docker.io/x/y:2", "quay.io/a/b:1",
        "quay.io/a/helper:1",
    ]  # fmt: skip
    assert images("--images-file", "-", "-o", "name", stdin="nginx\n").stdout == "docker.io/library/nginx:latest\n"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ((), "nothing to look at", "--chart"),
        (("-f", "https://example.com/x.yaml"), "not read from the network", "curl"),
        (("-f", "missing.yaml"), "`missing.yaml`: no such file or directory", "check the path"),
        (("-f", "."), "no .yaml, .yml or .json files in `.`", "-R"),
        (("-f", "-"), "standard input is empty", "pipe"),
        (("--image", "a//b"), "'/' at position 3", ""),
        (("--images-file", "bad.txt"), "bad.txt:2: invalid reference 'b b'", ""),
        (("--images-file", "empty.txt"), "names no image", "one image a line"),
        (("--images-file", "binary.txt"), "is no text", ""),
        (("--imag", "x"), "no such option", "--help"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_text("a\nb b\n")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    ended = images(*arguments, stdin="")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message.lower() in ended.stderr.lower()
    assert hint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_file_without_images_is_an_answer_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Service\n")
    ended = images("-f", str(tmp_path / "a.yaml"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "no images found\n")
    assert json.loads(images("-f", str(tmp_path / "a.yaml"), "-o", "json").stdout)["items"] == []


def test_b73_strange_file_names_are_read_and_shown_without_harm(tmp_path: Path) -> None:
    for name in (b"a b.yaml", b"q'\"%s.yaml", b"line\nbreak.yaml", b"\xff\xfe.yaml", b"\x1b[31m.yaml"):
        path = os.fsencode(tmp_path) + b"/" + name
        with Path(os.fsdecode(path)).open("w") as file:
            file.write(DEPLOYMENT)
        ended = subprocess.run(
            [SCRIPTS / "kubectl-airgap", "images", "-f", path, "-o", "wide"], capture_output=True, timeout=30
        )
        assert ended.returncode == 0
        assert len(ended.stdout.splitlines()) == 3
        assert b"\x1b" not in ended.stdout
    assert images("-f", str(tmp_path), "-o", "json").returncode == 0


def test_b73_a_path_of_four_thousand_characters_is_refused_in_words(tmp_path: Path) -> None:
    ended = images("-f", f"{tmp_path}/{'x' * 4096}")
    assert ended.returncode in (2, 4)
    assert "Traceback" not in ended.stderr and "too long" in ended.stderr


def test_a_loop_of_links_is_not_followed(directory: Path) -> None:
    (directory / "jobs" / "loop").symlink_to(directory)
    (directory / "dangling.yaml").symlink_to(directory / "nowhere")
    ended = images("-f", str(directory), "-o", "name")
    assert ended.returncode == 0
    assert images("-f", str(directory / "jobs"), "-R", "-o", "name").stdout == "docker.io/library/busybox:1\n"
