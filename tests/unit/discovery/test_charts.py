"""Images of charts, form by form, with the real helm."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.charts import DIGEST, FORMS, Made, pod

from airgap.adapters.rendering import Rendering
from airgap.discovery import charts
from airgap.discovery.findings import Certainty, Discovery
from airgap.references import Reference


@pytest.fixture(autouse=True)
def _helm(helm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_BIN", helm)


def find(path: Path, rendering: Rendering | None = None) -> Discovery:
    return charts.find(str(path), rendering or Rendering())


def references(*texts: str) -> set[Reference]:
    return {Reference.parse(text) for text in texts}


@pytest.mark.parametrize("form", FORMS)
def test_every_image_of_the_form_is_found_and_nothing_else(form: str, tmp_path: Path) -> None:
    made = FORMS[form]

    found = find(made.write(tmp_path))

    assert set(found.references) == references(*made.images, *made.declared)
    assert found.problems == ()


@pytest.mark.parametrize("form", [name for name, made in FORMS.items() if made.values_alone])
def test_images_that_follow_values_are_told_with_the_values(form: str, tmp_path: Path) -> None:
    made = FORMS[form]

    found = find(made.write(tmp_path))

    used = [finding for finding in found.findings if finding.reference in references(*made.images)]
    assert {finding.certainty for finding in used} == {Certainty.TRACED}
    assert all("(values: " in finding.place.path for finding in used)


def test_the_keys_that_make_an_image_are_its_shape(tmp_path: Path) -> None:
    found = find(FORMS["registry-namespace-name"].write(tmp_path))

    assert {finding.shape for finding in found.findings} == {"imageRegistry+imageNamespace+name"}
    assert found.findings[0].place.path == (
        "Pod/p .spec.containers[0].image (values: imageRegistry, imageNamespace, image.name)"
    )


def test_images_behind_a_switch_are_told_apart(tmp_path: Path) -> None:
    found = find(FORMS["switched-off"].write(tmp_path))

    by_name = {finding.written: finding for finding in found.findings}
    assert by_name["quay.io/acme/exporter:v2"].certainty is Certainty.VALUES
    assert by_name["quay.io/acme/exporter:v2"].place.path.startswith("Pod/m ")
    assert by_name["quay.io/acme/tls:v3"].certainty is Certainty.VALUES
    assert by_name["quay.io/acme/tls:v3"].place.path == "values: tls.image.repository"
    assert by_name["quay.io/acme/tls:v3"].place.line == 6


def test_a_hard_coded_image_is_told_with_its_template_and_line(tmp_path: Path) -> None:
    made = Made("{}\n", {"pod.yaml": pod("quay.io/acme/app:v1")}, ())

    (finding,) = find(made.write(tmp_path)).findings

    assert finding.certainty is Certainty.CERTAIN
    assert finding.place.path == "Pod/p .spec.containers[0].image (templates/pod.yaml:8)"


def test_a_chart_that_does_not_render_is_a_problem_with_the_reason_and_its_values_are_read(tmp_path: Path) -> None:
    made = Made(
        "image: {repository: quay.io/acme/app, tag: v1}\n",
        {"pod.yaml": '{{ required "a password is needed" .Values.password }}\n'},
        (),
    )

    found = find(made.write(tmp_path))

    assert [str(reference) for reference in found.references] == ["quay.io/acme/app:v1"]
    (problem,) = found.problems
    assert "does not render" in problem.reason
    assert "a password is needed" in problem.reason


def test_the_users_values_are_rendered_with(tmp_path: Path) -> None:
    chart = FORMS["switched-off"].write(tmp_path)
    values = tmp_path / "mine.yaml"
    values.write_text("metrics: {image: {tag: v9}}\n")

    found = find(chart, Rendering(values=(str(values),), set=("metrics.enabled=true",)))

    (finding,) = (finding for finding in found.findings if "exporter" in finding.written)
    assert finding.written == "quay.io/acme/exporter:v9"
    assert finding.certainty is Certainty.TRACED


def test_a_crd_folder_is_looked_at_and_notes_are_not(tmp_path: Path) -> None:
    made = Made(
        "{}\n",
        {"NOTES.txt": "run quay.io/acme/notes:v1\n", "pod.yaml": pod("quay.io/acme/app:v1")},
        (),
        files={
            "crds/pod.yaml": (
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
                "spec: {template: {spec: {containers: [{name: a, image: 'quay.io/acme/crd:v1'}]}}}\n"
            )
        },
    )

    found = find(made.write(tmp_path))

    assert set(found.references) == references("quay.io/acme/app:v1", "quay.io/acme/crd:v1")


def test_hooks_and_tests_are_looked_at(tmp_path: Path) -> None:
    hook = pod("quay.io/acme/test:v1").replace(
        "  name: p\n", '  name: t\n  annotations: {"helm.sh/hook": test-success}\n'
    )
    made = Made("{}\n", {"pod.yaml": pod("quay.io/acme/app:v1"), "tests/t.yaml": hook}, ())

    assert references("quay.io/acme/test:v1") <= set(find(made.write(tmp_path)).references)


def test_a_pinned_image_keeps_its_digest(tmp_path: Path) -> None:
    (finding,) = find(FORMS["tag-that-is-a-digest"].write(tmp_path)).findings

    assert finding.reference.digest == DIGEST


def test_the_values_of_a_sub_chart_that_makes_nothing_are_no_images(tmp_path: Path) -> None:
    made = FORMS["sub-charts"]
    files = {path: text for path, text in made.files.items() if path != "charts/redis/templates/pod.yaml"}
    chart = Made(made.values, made.templates, (), files=files).write(tmp_path)

    assert not [reference for reference in find(chart).references if "redis" in reference.repository]
