"""Relocated charts, form by form: what changes, what does not, and the proof by the real helm."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.charts import FORMS, Made, pod

from airgap.adapters.rendering import Rendering
from airgap.documents import charts
from airgap.errors import IncompleteError, InvalidInput
from airgap.operations import relocate_chart
from airgap.operations.relocate_chart import ChartRelocation, Request
from airgap.references import Reference
from airgap.relocation.policy import Relocation

TARGET = "registry.corp:5000/mirror"


@pytest.fixture(autouse=True)
def _helm(helm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_BIN", helm)


def plan(
    path: Path,
    naming: str = "strip",
    *,
    values_only: bool = False,
    values: tuple[str, ...] = (),
    set: tuple[str, ...] = (),
) -> ChartRelocation:
    rendering = Rendering(values=values, set=set)
    return relocate_chart.plan(Request(str(path), TARGET, naming, rendering=rendering, values_only=values_only))


def wanted(made: Made, naming: str = "strip") -> frozenset[Reference]:
    rule = Relocation.to(TARGET, naming)
    return frozenset(rule.target_of(Reference.parse(text)) for text in made.images)


@pytest.mark.parametrize("naming", ["strip", "keep"])
@pytest.mark.parametrize("form", FORMS)
def test_every_image_of_the_relocated_chart_has_the_name_it_gets(form: str, naming: str, tmp_path: Path) -> None:
    made = FORMS[form]

    done = plan(made.write(tmp_path), naming)

    assert done.outside == ()
    assert set(done.rendered) == wanted(made, naming)


@pytest.mark.parametrize("form", [name for name, made in FORMS.items() if made.values_alone])
def test_values_alone_move_what_values_make(form: str, tmp_path: Path) -> None:
    made = FORMS[form]

    done = plan(made.write(tmp_path), values_only=True)

    assert done.outside == ()
    assert set(done.rendered) == wanted(made)


@pytest.mark.parametrize("form", FORMS)
def test_a_relocated_chart_is_not_changed_by_relocating_it_again(form: str, tmp_path: Path) -> None:
    out = relocate_chart.write(plan(FORMS[form].write(tmp_path)), tmp_path / "out")

    assert plan(out).chart.changed == {}


def test_only_the_values_change_and_their_quotes_and_comments_stay(tmp_path: Path) -> None:
    done = plan(FORMS["registry-repository-tag"].write(tmp_path))

    assert list(done.chart.changed) == ["values.yaml"]
    before, after = done.chart.changed["values.yaml"]
    assert after == before.replace(b"quay.io  ", b"registry.corp:5000/mirror  ")


def test_a_value_behind_an_anchor_is_changed_once_where_it_is_written(tmp_path: Path) -> None:
    done = plan(FORMS["anchors"].write(tmp_path))

    before, after = done.chart.changed["values.yaml"]
    assert after == before.replace(b"quay.io", b"registry.corp:5000/mirror")


def test_a_sub_charts_values_are_set_through_the_parents(tmp_path: Path) -> None:
    done = plan(FORMS["sub-charts"].write(tmp_path))

    assert list(done.chart.changed) == ["values.yaml"]
    assert done.chart.changed["values.yaml"][1].decode() == (
        "\n# settings of the parent\nredis:\n  replicas: 2   # two\n  image:\n    registry: registry.corp:5000/mirror\n"
        "image: registry.corp:5000/mirror/acme/app:v1\ncache:\n  image: registry.corp:5000/mirror/acme/cache\n"
    )


def test_what_no_value_reaches_is_edited_where_it_is_written_and_named(tmp_path: Path) -> None:
    done = plan(FORMS["hard-coded-in-a-file"].write(tmp_path))

    assert [(literal.file, literal.line, literal.text) for literal in done.chart.literals] == [
        ("files/pod.yaml", 7, "busybox:1.28")
    ]
    text = done.chart.changed["files/pod.yaml"][1].decode()
    assert "image: registry.corp:5000/mirror/library/busybox:1.28}   # never mind busybox:1.280" in text


def test_values_alone_say_what_they_cannot_reach(tmp_path: Path) -> None:
    done = plan(FORMS["hard-coded-in-a-file"].write(tmp_path), values_only=True)

    with pytest.raises(IncompleteError, match="would still come from outside") as caught:
        done.check()

    assert ["busybox:1.28" in line for line in caught.value.findings] == [True]
    assert "leave --values-only out" in caught.value.hint


def test_the_values_file_says_nothing_but_what_moves(tmp_path: Path) -> None:
    done = plan(FORMS["registry-namespace-name"].write(tmp_path), values_only=True)

    assert done.overlay == "imageRegistry: registry.corp:5000/mirror\n"


def test_the_switch_that_accepts_other_registries_is_thrown_only_where_it_must_be(tmp_path: Path) -> None:
    guarded = FORMS["refuses-other-images"]
    free = replace(guarded, templates={"pod.yaml": guarded.templates["pod.yaml"]})

    strict = plan(guarded.write(tmp_path, "strict")).chart.changed["values.yaml"][1]
    loose = plan(free.write(tmp_path, "loose")).chart.changed["values.yaml"][1]

    assert b"    allowInsecureImages: true\n" in strict
    assert b"    allowInsecureImages: false\n" in loose


def test_values_behind_a_switch_that_is_off_are_set_as_well(tmp_path: Path) -> None:
    out = relocate_chart.write(plan(FORMS["switched-off"].write(tmp_path)), tmp_path / "out")

    done = plan(out, set=("metrics.enabled=true", "tls.mode=auto"))

    assert done.chart.changed == {}
    assert len(done.rendered) == 3


def test_an_annotation_that_lists_images_is_changed_inside_its_text(tmp_path: Path) -> None:
    done = plan(FORMS["list-of-images-in-chart-yaml"].write(tmp_path))

    before, after = done.chart.changed["Chart.yaml"]
    assert after == before.replace(b"quay.io", b"registry.corp:5000/mirror")


def test_a_digest_and_a_tag_stay_as_they_are_written(tmp_path: Path) -> None:
    done = plan(FORMS["digest-without-its-algorithm"].write(tmp_path))

    before, after = done.chart.changed["values.yaml"]
    assert after == before.replace(b"quay.io", b'"registry.corp:5000/mirror"') or after == before.replace(
        b"quay.io", b"registry.corp:5000/mirror"
    )


@pytest.mark.parametrize("naming", ["flat", "group=apps"])
def test_other_namings_are_proved_alike(naming: str, tmp_path: Path) -> None:
    made = FORMS["sub-charts"]

    assert set(plan(made.write(tmp_path), naming).rendered) == wanted(made, naming)


def test_two_images_that_would_get_one_name_are_refused_with_both(tmp_path: Path) -> None:
    made = Made("{}\n", {"pod.yaml": pod("quay.io/acme/app:v1", "ghcr.io/acme/app:v1")}, ())

    with pytest.raises(InvalidInput, match=r"ghcr\.io/acme/app:v1.*quay\.io/acme/app:v1"):
        plan(made.write(tmp_path))


def test_a_chart_that_does_not_render_cannot_be_relocated(tmp_path: Path) -> None:
    made = Made("{}\n", {"pod.yaml": '{{ required "a password is needed" .Values.password }}'}, ())

    with pytest.raises(IncompleteError) as caught:
        plan(made.write(tmp_path))

    assert "a password is needed" in caught.value.findings[0]


def test_an_image_that_the_users_own_values_name_is_told_with_the_way_out(tmp_path: Path) -> None:
    values = tmp_path / "mine.yaml"
    values.write_text("image: {registry: quay.example.org}\n")
    chart = FORMS["registry-repository-tag"].write(tmp_path)

    done = plan(chart, values=(str(values),))
    with pytest.raises(IncompleteError) as caught:
        done.check()

    assert "image.registry" in caught.value.hint
    assert plan(chart, values_only=True, values=(str(values),)).outside == ()


def test_an_archive_is_packed_to_the_same_bytes_each_time(tmp_path: Path) -> None:
    chart = FORMS["sub-charts"].write(tmp_path)
    source = tmp_path / "made.tgz"
    source.write_bytes(charts.pack(charts.read(chart)))

    one = relocate_chart.write(plan(source), tmp_path / "one.tgz").read_bytes()
    two = relocate_chart.write(plan(source), tmp_path / "two.tgz").read_bytes()

    assert one == two
    assert plan(tmp_path / "one.tgz").chart.changed == {}


def test_an_archive_within_a_chart_that_needs_no_change_keeps_its_bytes(tmp_path: Path) -> None:
    chart = FORMS["sub-charts"].write(tmp_path)

    out = relocate_chart.write(plan(chart), tmp_path / "out")

    place = "charts/cache-0.1.0.tgz"
    assert (out / place).read_bytes() == (chart / place).read_bytes()


def test_an_image_fixed_in_an_archive_within_a_chart_is_edited_there(tmp_path: Path) -> None:
    made = FORMS["sub-charts"]
    files = {
        **made.files,
        "charts/cache/templates/fixed.yaml": pod("quay.io/acme/fixed:v3").replace("name: p", "name: fixed"),
    }

    done = plan(replace(made, files=files).write(tmp_path))

    assert done.outside == ()
    assert [literal.file for literal in done.chart.literals] == ["charts/cache-0.1.0.tgz/templates/fixed.yaml"]
    out = relocate_chart.write(done, tmp_path / "out")
    assert plan(out).chart.changed == {}


def test_in_place_keeps_the_original_beside_it(tmp_path: Path) -> None:
    chart = FORMS["registry-repository-tag"].write(tmp_path)
    before = (chart / "values.yaml").read_bytes()

    relocate_chart.write_in_place(plan(chart))

    assert (tmp_path / "made.orig" / "values.yaml").read_bytes() == before
    assert b"registry.corp" in (chart / "values.yaml").read_bytes()
    assert not list(chart.glob("**/*.orig"))
    again = relocate_chart.write_in_place(plan(chart))
    assert again == chart


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    done = plan(FORMS["registry-repository-tag"].write(tmp_path))
    (tmp_path / "out").mkdir()

    with pytest.raises(InvalidInput, match="is there already"):
        relocate_chart.write(done, tmp_path / "out")


def test_the_diff_can_be_applied(tmp_path: Path) -> None:
    done = plan(FORMS["sub-charts"].write(tmp_path))

    assert re.search(r"^--- a/values\.yaml\n\+\+\+ b/values\.yaml\n@@", done.diff)
    assert "+  image:\n+    registry: registry.corp:5000/mirror\n" in done.diff
