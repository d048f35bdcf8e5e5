"""Marks: what they look like, and what is read from where they come out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.charts import FORMS, Made, pod

from airgap.adapters import helm as helm_adapter
from airgap.adapters.rendering import Rendering
from airgap.discovery import tracing
from airgap.discovery.chartvalues import Candidate, Leaf, Values, candidates, overrides, values_of
from airgap.documents import charts
from airgap.documents.yaml import Scalar
from airgap.references import Reference


def candidate(text: str, *path: str) -> Candidate:
    return Candidate((path or ("image",),), text, Leaf(Scalar(text, "", 0, len(text), 1, 1, text), "values.yaml"))


def values(text: str, tmp_path: Path) -> Values:
    return values_of(charts.read(Made(text, {"pod.yaml": pod("a/b:1")}, ()).write(tmp_path)), "made")


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("quay.io", "zq0007z.invalid"),
        ("docker.io/mesh", "zq0007z.invalid/c"),
        ("quay.io/acme/app", "zq0007z.invalid/c/c"),
        ("acme/app", "zq0007z/c"),
        ("pilot", "zq0007z"),
        ("/storage/nfs", "/zq0007z/c"),
        ("quay.io/acme/app:v1.2", "zq0007z.invalid/c/c:v1.2"),
        ("localhost:5000/a", "zq0007z.invalid/c"),
    ],
)
def test_a_mark_is_of_the_same_kind_as_the_value(text: str, mark: str) -> None:
    assert tracing.mark_of(7, candidate(text)) == mark


@pytest.mark.parametrize("text", ["quay.io/acme/app:v1", "acme/app", "quay.io/a/b", "pilot"])
def test_a_marked_name_is_still_a_name(text: str) -> None:
    Reference.parse(tracing.mark_of(12, candidate(text)))


@pytest.mark.parametrize(
    ("key", "mark"),
    [
        ("registry", "zq0001z.invalid"),
        ("repository", "zq0001z.invalid/c"),
        ("namespace", "zq0001z"),
    ],
)
def test_a_mark_for_nothing_is_of_the_kind_that_its_key_says(key: str, mark: str) -> None:
    assert tracing.mark_of(1, candidate("", key)) == mark


@pytest.mark.parametrize(
    ("text", "name", "suffix"),
    [
        ("a/b:1", "a/b", ":1"),
        ("host:5000/b", "host:5000/b", ""),
        ("host:5000/b:1@sha256:ab", "host:5000/b", ":1@sha256:ab"),
        ("a", "a", ""),
    ],
)
def test_a_suffix_is_the_tag_and_the_digest(text: str, name: str, suffix: str) -> None:
    assert tracing.split_suffix(text) == (name, suffix)


def test_what_no_image_could_be_made_of_is_not_marked(tmp_path: Path) -> None:
    text = """
    image: {repository: quay.io/a/b, tag: v1, pullPolicy: Always, pullSecrets: [s], digest: ''}
    url: https://example.org/a:1
    nodeSelector: {kubernetes.io/os: linux}
    name: me
    template: "{{ .Values.x }}/y"
    """

    found = candidates(values(text, tmp_path))

    assert [item.paths for item in found] == [(("image", "repository"),)]


def test_a_text_behind_an_anchor_is_one_value_with_several_paths(tmp_path: Path) -> None:
    text = "a: {image: {registry: &r quay.io, tag: v1}}\nb: {image: {registry: *r, tag: v1}}\n"

    (found,) = candidates(values(text, tmp_path))

    assert found.paths == (("a", "image", "registry"), ("b", "image", "registry"))


def test_overrides_repeat_a_list_whole_and_nothing_else(tmp_path: Path) -> None:
    known = values("list: [{n: 1.50, image: a/b:1}, {n: no, image: c/d:1}]\nother: 1\n", tmp_path)

    assert overrides(known, {("list", 1, "image"): "x"}) == {
        "list": [{"n": 1.5, "image": "a/b:1"}, {"n": False, "image": "x"}]
    }


def test_the_parents_values_win_over_the_sub_charts(tmp_path: Path) -> None:
    made = FORMS["sub-charts"]
    chart = charts.read(
        Made(made.values + "cache: {tag: v9}\n", made.templates, (), files=made.files, packed=made.packed).write(
            tmp_path
        )
    )

    known = values_of(chart, "made")

    assert known.text(("cache", "tag")) == "v9"
    assert known.text(("cache", "image")) == "quay.io/acme/cache"
    assert known.text(("redis", "replicas")) == "2"
    assert known.owner(("cache", "image")).name == "cache"


def test_a_value_that_bears_no_mark_spoils_no_other(helm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_BIN", helm)
    path = FORMS["one-value-bears-no-mark"].write(tmp_path)
    known = values_of(charts.read(path), "made")

    seen = tracing.trace(str(path), Rendering(), known, helm_adapter.template(str(path), Rendering()), ())

    made = {item.text: [seen.candidates[index].paths[0] for index in item.variables] for item in seen.compositions}
    assert made == {
        "quay.io/acme/app:v1": [("image", "repository")],
        "quay.io/store:v2": [("backend", "image", "registry")],
    }
    assert seen.problems == ("backend.image.repository: the chart does not render with another value than 'store'",)


def test_a_trace_costs_few_renders(helm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = tmp_path / "helm"
    log = tmp_path / "log"
    counted.write_text(f'#!/bin/sh\necho x >>"{log}"\nexec "{helm}" "$@"\n')
    counted.chmod(0o755)
    monkeypatch.setenv("HELM_BIN", str(counted))
    path = FORMS["switched-off"].write(tmp_path)
    known = values_of(charts.read(path), "made")

    tracing.trace(str(path), Rendering(), known, helm_adapter.template(str(path), Rendering()), ())

    assert log.read_text().count("x") <= 4
