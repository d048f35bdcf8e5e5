"""Helm as it is started: what it gets, and what becomes of its failures."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from tests.support.charts import FORMS, Made, pod

from airgap import limits
from airgap.adapters import helm as adapter
from airgap.adapters.rendering import Rendering
from airgap.errors import AirgapError, InvalidInput


@pytest.fixture(params=["helm", "helm3"])
def _helm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_BIN", request.getfixturevalue(request.param))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in helm's place; tests write what it does."""
    program = tmp_path / "fake-helm"
    program.touch(0o755)
    monkeypatch.setenv("HELM_BIN", str(program))
    return program


def chart(tmp_path: Path) -> str:
    return str(FORMS["registry-repository-tag"].write(tmp_path))


@pytest.mark.usefixtures("_helm")
def test_both_helms_render_with_everything_that_the_user_gives(tmp_path: Path) -> None:
    template = pod("a/b:{{ .Values.tag }}-{{ .Values.more }}-{{ .Capabilities.KubeVersion.Minor }}").replace(
        "name: p", "name: p\n  namespace: {{ .Release.Namespace }}"
    )
    path = Made("tag: none\nmore: none\n", {"pod.yaml": template}, ()).write(tmp_path)
    values = tmp_path / "values.yaml"
    values.write_text("tag: file\n")
    rendering = Rendering(values=(str(values),), set=("more=flag",), namespace="web", kube_version="1.31.0")

    output = adapter.template(str(path), rendering)

    assert b'image: "a/b:file-flag-31"' in output
    assert b"namespace: web" in output


@pytest.mark.usefixtures("_helm")
def test_an_overlay_comes_after_the_users_values(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("image: {tag: file}\n")

    output = adapter.template(chart(tmp_path), Rendering(values=(str(values),)), b"image: {tag: overlay}\n")

    assert b"quay.io/acme/app:overlay" in output


@pytest.mark.usefixtures("_helm")
def test_a_schema_is_kept_to_unless_told_otherwise(tmp_path: Path) -> None:
    path = str(FORMS["strict-schema"].write(tmp_path))

    with pytest.raises(AirgapError, match="mode"):
        adapter.template(path, Rendering(), b"mode: three\n")

    assert b"quay.io/acme/app:v1" in adapter.template(path, Rendering(), b"mode: three\n", checked=False)


@pytest.mark.usefixtures("_helm")
def test_a_failure_is_told_in_helms_own_words(tmp_path: Path) -> None:
    path = Made("{}\n", {"pod.yaml": '{{ fail "the moon is full" }}\n'}, ()).write(tmp_path)

    with pytest.raises(AirgapError, match=r"helm template failed: .*the moon is full") as caught:
        adapter.template(str(path), Rendering())

    assert "\n" not in caught.value.message


def test_helm_gets_no_plugins_and_nothing_else_of_ours(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRGAP_SECRET", "x")
    monkeypatch.setenv("HELM_NAMESPACE", "x")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/frozen")
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/before")
    fake.write_text("#!/bin/sh\nprintf -- '---\\n# Source: x\\n'\nenv\nls -A $HELM_PLUGINS | wc -l\n")

    lines = adapter.template(chart(tmp_path), Rendering()).decode().splitlines()

    names = {line.partition("=")[0] for line in lines}
    assert "LD_LIBRARY_PATH=/before" in lines
    assert "HELM_PLUGINS" in names
    assert not names & {"AIRGAP_SECRET", "HELM_NAMESPACE"}
    assert lines[-1].strip() == "0"


def test_a_helm_that_does_not_end_is_stopped_with_all_it_started(fake: Path, tmp_path: Path) -> None:
    fake.write_text("#!/bin/sh\nsleep 60 &\nsleep 60\n")
    started = time.monotonic()

    with pytest.raises(AirgapError, match=r"did not end within 0\.3 seconds"):
        adapter.template(chart(tmp_path), Rendering(), seconds=0.3)

    assert time.monotonic() - started < 5


def test_a_helm_that_prints_without_end_is_stopped(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RENDER_OUTPUT", 4 * limits.MIB)
    fake.write_text("#!/bin/sh\nexec yes\n")

    with pytest.raises(AirgapError, match="printed more than 4194304 bytes"):
        adapter.template(chart(tmp_path), Rendering())


def test_a_warning_before_the_manifests_is_no_manifest(fake: Path, tmp_path: Path) -> None:
    fake.write_text("#!/bin/sh\nprintf 'WARNING: old\\n---\\n# Source: a/templates/b.yaml\\nkind: X\\n'\n")

    assert adapter.template(chart(tmp_path), Rendering()) == b"---\n# Source: a/templates/b.yaml\nkind: X\n"


def test_without_helm_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELM_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AirgapError, match="`helm` was not found") as caught:
        adapter.template(chart(tmp_path), Rendering())

    assert "HELM_BIN" in caught.value.hint


def test_an_old_helm_is_told_to_be_one(fake: Path, tmp_path: Path) -> None:
    fake.write_text("#!/bin/sh\necho 'Error: unknown flag: --skip-schema-validation' >&2\nexit 1\n")

    with pytest.raises(AirgapError, match="this helm is too old") as caught:
        adapter.template(chart(tmp_path), Rendering(), checked=False)

    assert "3.17" in caught.value.hint


def test_what_is_no_chart_anywhere_is_a_mistake_in_the_name() -> None:
    with (
        pytest.raises(InvalidInput, match="no such chart"),
        adapter.fetched("./nothing/here", Rendering()),
    ):
        raise AssertionError


@pytest.mark.parametrize(("host", "is_pulled"), [("127.0.0.1:5000", True), ("registry.internal", False)])
def test_only_a_registry_on_loopback_that_has_no_tls_is_spoken_to_plainly(
    fake: Path, host: str, is_pulled: bool
) -> None:
    fake.write_text(
        """#!/bin/sh
case "$*" in *--plain-http*) echo chart >"$4/c-1.2.tgz"; exit;; esac
echo 'Error: server gave HTTP response to HTTPS client' >&2; exit 1
"""
    )

    refusal = contextlib.nullcontext() if is_pulled else pytest.raises(AirgapError, match="HTTPS client")
    with refusal, adapter.fetched(f"oci://{host}/c", Rendering()) as path:
        assert Path(path).read_text() == "chart\n"


def test_a_chart_that_is_not_here_is_pulled_by_its_version(fake: Path, tmp_path: Path) -> None:
    fake.write_text('#!/bin/sh\n[ "$1 $2 $5 $6" = "pull oci://r/c --version 1.2" ] && echo chart >"$4/c-1.2.tgz"\n')

    with adapter.fetched("oci://r/c", Rendering(version="1.2")) as path:
        assert Path(path).read_text() == "chart\n"

    assert not Path(path).exists()
