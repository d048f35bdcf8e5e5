"""`helm relocate` as its users type it, with both real helms."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.charts import DIGEST, FORMS
from tests.support.cli import check_refusal, helm_relocate, run

from airgap.bundles import lock as locks
from airgap.bundles.lock import Lock, LockEntry
from airgap.references import Reference

TARGET = "registry.corp:5000/mirror"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["helm", "helm3"])
def program(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def relocate(program: str) -> Command:
    def typed(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return helm_relocate(*arguments, env={"HELM_BIN": program, **more})

    return typed


def test_the_relocated_chart_installs_from_where_the_last_line_says(
    relocate: Command, program: str, tmp_path: Path
) -> None:
    chart = FORMS["sub-charts"].write(tmp_path)

    done = relocate(chart, "--to", TARGET, "-o", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "rendered again: 3 images, all at the target" in done.stderr
    assert done.stderr.rstrip().endswith(f"next: helm install NAME {tmp_path / 'out'}")
    rendered = run(program, "template", "x", tmp_path / "out").stdout
    images = [line.split('"')[1] for line in rendered.splitlines() if "image: " in line]
    assert images
    assert all(image.startswith(f"{TARGET}/acme/") for image in images)


def test_the_namespace_that_helm_hands_over_is_rendered_for(relocate: Command, tmp_path: Path) -> None:
    chart = FORMS["one-string"].write(tmp_path)

    done = relocate(chart, "--to", TARGET, "-o", tmp_path / "out", HELM_NAMESPACE="web")

    assert done.stderr.rstrip().endswith("-n web")


def test_an_archive_becomes_an_archive(relocate: Command, program: str, tmp_path: Path) -> None:
    chart = FORMS["sub-charts"].write(tmp_path)
    run(program, "package", chart, "-d", tmp_path)

    done = relocate(tmp_path / "made-1.2.3.tgz", "--to", TARGET, "-o", tmp_path / "out.tgz")

    assert done.returncode == 0, done.stderr
    assert f"{TARGET}/acme/cache:v2" in run(program, "template", "x", tmp_path / "out.tgz").stdout


def test_values_alone_go_to_standard_output_and_work_with_the_untouched_chart(
    relocate: Command, program: str, tmp_path: Path
) -> None:
    chart = FORMS["images-in-a-list"].write(tmp_path)

    done = relocate(chart, "--to", TARGET, "--values-only", "-")

    values = tmp_path / "inside.yaml"
    values.write_text(done.stdout)
    rendered = run(program, "template", "x", chart, "-f", values).stdout
    assert f"{TARGET}/acme/a:v1" in rendered
    assert "quay.io" not in rendered


def test_a_check_writes_nothing_and_says_by_its_code_what_stays_outside(relocate: Command, tmp_path: Path) -> None:
    chart = FORMS["hard-coded-in-a-file"].write(tmp_path)

    whole = relocate(chart, "--to", TARGET, "--check")
    values = relocate(chart, "--to", TARGET, "--check", "--values-only", "-", "-q")

    assert whole.returncode == 0, whole.stderr
    assert "busybox:1.28" in whole.stdout
    check_refusal(values, 5, "1 image of", "busybox:1.28", "leave --values-only out")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_changes_are_printed_as_a_diff_that_git_applies(relocate: Command, tmp_path: Path) -> None:
    chart = FORMS["hard-coded-in-a-file"].write(tmp_path)

    done = relocate(chart, "--to", TARGET, "--diff")

    patch = tmp_path / "x.patch"
    patch.write_text(done.stdout)
    applied = run("patch", "-p1", "-d", chart, "-i", patch)
    assert applied.returncode == 0, applied.stdout
    assert relocate(chart, "--to", TARGET, "--diff").stdout == ""


def test_with_a_lock_every_image_is_one_of_its_targets(relocate: Command, tmp_path: Path) -> None:
    chart = FORMS["registry-namespace-name"].write(tmp_path)
    entries = [
        LockEntry(
            Reference.parse(f"quay.io/acme/{name}:v1"), DIGEST, Reference.parse(f"registry.corp:5000/m/acme/{name}:v1")
        )
        for name in ("one", "two")
    ]
    locks.write(Lock.of(entries), tmp_path / "whole.lock")
    locks.write(Lock.of(entries[:1]), tmp_path / "part.lock")

    whole = relocate(chart, "--lock", tmp_path / "whole.lock", "--values-only", "-")
    part = relocate(chart, "--lock", tmp_path / "part.lock", "-o", tmp_path / "out")

    assert whole.stdout == "imageRegistry: registry.corp:5000/m\n", whole.stderr
    check_refusal(part, 5, "is no target of the lock", "acme/two:v1", "pack and push what is missing")
    assert not (tmp_path / "out").exists()


def test_in_place_keeps_the_original(relocate: Command, tmp_path: Path) -> None:
    chart = FORMS["one-string"].write(tmp_path)

    done = relocate(chart, "--to", TARGET, "--in-place")

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.orig"]


def test_without_a_target_it_is_told_how_to_name_one(relocate: Command, tmp_path: Path) -> None:
    check_refusal(relocate(FORMS["one-string"].write(tmp_path)), 2, "--to")


def test_two_places_for_one_result_are_refused(relocate: Command, tmp_path: Path) -> None:
    done = relocate(FORMS["one-string"].write(tmp_path), "--to", TARGET, "-o", "x", "--in-place")

    check_refusal(done, 2, "choose one of")


def test_a_failing_post_renderer_leaves_its_reason_in_the_log(tmp_path: Path) -> None:
    manifest = b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: 'a/b:1'}]}\n"

    good = helm_relocate("post-render", "--to", TARGET, stdin=manifest)
    bad = helm_relocate("post-render", stdin=manifest, env={"XDG_STATE_HOME": str(tmp_path)})

    assert good.stdout == manifest.decode().replace("a/b:1", f"{TARGET}/a/b:1")
    check_refusal(bad, 2, "--to")
    log = (tmp_path / "airgap" / "post-render.log").read_text()
    assert log.startswith("error: it is not said where the images are")
