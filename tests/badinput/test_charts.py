"""Charts that nobody should have made: each is refused with its reason, at once, and nothing is written."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.charts import FORMS, Made, archive, pod
from tests.support.cli import check_refusal, helm_relocate

from airgap import limits
from airgap.documents import charts
from airgap.errors import AirgapError, DocumentError
from airgap.operations.relocate_chart import Request, plan

pytestmark = pytest.mark.undisturbed

META = "apiVersion: v2\nname: made\nversion: 1.2.3\n"
GOOD = {"made/Chart.yaml": META, "made/values.yaml": "a: 1\n"}


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"x") -> bytes:
    """A chart archive with one more entry."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in GOOD.items():
            good = tarfile.TarInfo(path)
            good.size = len(text)
            tar.addfile(good, io.BytesIO(text.encode()))
        bad = tarfile.TarInfo(name)
        bad.type, bad.linkname, bad.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
        tar.addfile(bad, io.BytesIO(data) if kind == tarfile.REGTYPE else None)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("made/Chart.yaml", META)
    return buffer.getvalue()


def lying(size: bytes) -> bytes:
    """An archive in which a header's size field says something else."""
    plain = bytearray(gzip.decompress(archive({**GOOD, "made/x": "0123456789"})))
    at = plain.index(b"made/x\0")
    plain[at + 124 : at + 136] = size
    header = bytes(plain[at : at + 148]) + b" " * 8 + bytes(plain[at + 156 : at + 512])
    plain[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(plain))


def zeros() -> bytes:
    """Ten gigabytes of zeros in ten megabytes."""
    block = gzip.compress(bytes(100 * limits.MIB), 9)
    return block * 100


CASES: list[tuple[str, Callable[[], bytes], str]] = [
    ("B22-not-compressed", lambda: gzip.decompress(archive(GOOD)), "not a chart archive: it is not compressed by gzip"),
    ("B22-empty", lambda: b"", "not a chart archive: it is empty"),
    ("B22-yaml", lambda: META.encode(), "not a chart archive"),
    ("B22-gzip-of-gzip", lambda: gzip.compress(archive(GOOD)), "not a chart archive"),
    ("B22-zip", zipped, "not a chart archive"),
    ("B22-cut", lambda: archive(GOOD)[:-30], "not a chart archive: it is cut short"),
    ("B22-trailing-bytes", lambda: archive(GOOD) + b"more", "not a chart archive"),
    ("B22-no-files", lambda: archive({}), "not a chart archive: it is empty"),
    ("B23-no-chart-yaml", lambda: archive({"made/values.yaml": ""}), "not a chart: no Chart.yaml"),
    ("B23-at-root", lambda: archive({"Chart.yaml": META}), "not in a folder of its own"),
    ("B23-two", lambda: archive({**GOOD, "other/Chart.yaml": META}), "2 charts in one archive"),
    ("B23-name-dot", lambda: archive({"made/Chart.yaml": META.replace("made", ".")}), "'.' is no name"),
    ("B23-name-dots", lambda: archive({"made/Chart.yaml": META.replace("made", "..")}), "'..' is no name"),
    ("B23-name-path", lambda: archive({"made/Chart.yaml": META.replace("made", "a/b")}), "'a/b' is no name"),
    ("B23-name-empty", lambda: archive({"made/Chart.yaml": META.replace("made", "''")}), "'' is no name"),
    ("B23-version-word", lambda: archive({"made/Chart.yaml": META.replace("1.2.3", "new")}), "'new' is no version"),
    ("B23-version-path", lambda: archive({"made/Chart.yaml": META.replace("1.2.3", "../x")}), "'../x' is no version"),
    (
        "B23-version-escape",
        lambda: archive({"made/Chart.yaml": META.replace("1.2.3", '"1.0.0\\e[2J"')}),
        r"'1.0.0\x1b[2J' is no version",
    ),
    ("B24-absolute", lambda: member("/etc/passwd"), "leads out of the chart"),
    ("B24-dots", lambda: member("made/../../x"), "leads out of the chart"),
    ("B24-drive", lambda: member("C:/x"), "leads out of the chart"),
    ("B24-backslash", lambda: member("made\\..\\x"), "leads out of the chart"),
    ("B24-symlink", lambda: member("made/x", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    ("B24-hardlink", lambda: member("made/x", tarfile.LNKTYPE, "made/Chart.yaml"), "is a link"),
    ("B24-device", lambda: member("made/x", tarfile.CHRTYPE), "is a device or a pipe"),
    ("B24-fifo", lambda: member("made/x", tarfile.FIFOTYPE), "is a device or a pipe"),
    ("B25-large-file", lambda: member("made/x", data=bytes(limits.CHART_FILE + 1)), "more than 5242880 bytes"),
    ("B25-zeros", zeros, "at most 104857600 bytes unpacked"),
    ("B26-larger", lambda: lying(b"00007777777\0"), "not a chart archive"),
    ("B26-negative", lambda: lying(b"\xff" * 12), "bytes"),
    (
        "B29-empty-entry",
        lambda: archive({"made/Chart.yaml": META + "dependencies:\n  - ~\n"}),
        "`dependencies` is a list of mappings, with no empty entry",
    ),
    ("B27-values-no-map", lambda: archive({**GOOD, "made/values.yaml": "- 1\n"}), "values are a mapping"),
]


@pytest.mark.parametrize(("make", "reason"), [pytest.param(make, why, id=name) for name, make, why in CASES])
def test_a_bad_archive_is_refused(make: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "made.tgz"
    path.write_bytes(make())
    started = time.monotonic()

    with pytest.raises(DocumentError) as caught:
        plan(Request(str(path), "registry.corp/m"))

    assert time.monotonic() - started < 2
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 1


TYPED = ("B22-yaml", "B22-cut", "B23-two", "B23-version-escape", "B24-dots", "B24-symlink", "B27-values-no-map")


@pytest.mark.parametrize(
    ("make", "reason"), [pytest.param(make, why, id=name) for name, make, why in CASES if name in TYPED]
)
def test_a_bad_archive_ends_the_command_with_one_line(make: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "made.tgz"
    path.write_bytes(make())

    done = helm_relocate(path, "--to", "registry.corp/m", "-o", tmp_path / "out")

    check_refusal(done, 1, reason)
    assert [entry.name for entry in tmp_path.iterdir()] == ["made.tgz"]


@pytest.mark.parametrize("count", [pytest.param(limits.CHART_FILES + 1, id="B25-many-files")])
def test_more_files_than_a_chart_may_have_are_refused(count: int, tmp_path: Path) -> None:
    path = tmp_path / "made.tgz"
    path.write_bytes(archive({**GOOD, **{f"made/f{number}": "" for number in range(count)}}))

    with pytest.raises(DocumentError, match="at most 20000 files"):
        charts.read(path)


@pytest.mark.parametrize(
    "target", [pytest.param("/etc/hosts", id="B24-link-out"), pytest.param("../..", id="B24-link-up")]
)
def test_a_link_that_leads_out_of_a_directory_is_refused(target: str, tmp_path: Path) -> None:
    chart = FORMS["one-string"].write(tmp_path)
    (chart / "templates" / "x.yaml").symlink_to(target)

    with pytest.raises(DocumentError, match="a link that leads out of the chart"):
        charts.read(chart)


@pytest.mark.parametrize("kind", [pytest.param("fifo", id="B24-fifo-in-directory")])
def test_a_pipe_in_a_directory_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    chart = FORMS["one-string"].write(tmp_path)
    os.mkfifo(chart / kind)

    with pytest.raises(DocumentError, match="this is no file"):
        charts.read(chart)


@pytest.mark.parametrize("name", [pytest.param("Chart.lock", id="B29-lock-is-a-link")])
def test_nothing_is_written_through_a_link(name: str, tmp_path: Path, helm: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    chart = FORMS["one-string"].write(tmp_path)
    (chart / name).symlink_to(victim)

    done = helm_relocate(chart, "--to", "registry.corp/m", "--in-place", env={"HELM_BIN": helm})

    check_refusal(done, 1, "a link that leads out of the chart")
    assert victim.read_text() == "mine\n"


LOOP = '{{- define "l" }}{{ include "l" . }}{{ end }}{{ include "l" . }}\n'


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param(Made("{}\n", {"p.yaml": LOOP}, ()), "does not render", id="B30-include-recursion"),
        pytest.param(Made("{}\n", {"p.yaml": "{{ .Values.a.b.c }}"}, ()), "nil pointer", id="B30-missing-value"),
        pytest.param(
            Made(
                "a: 1\n",
                {"p.yaml": pod("a/b:1")},
                (),
                files={"values.schema.json": '{"properties": {"a": {"$ref": "file:///dev/zero"}}}'},
            ),
            "does not render",
            id="B28-schema-reads-a-file",
        ),
        pytest.param(
            Made("{}\n", {"p.yaml": pod("a/b:1")}, (), meta="dependencies: [{name: gone, version: 1.0.0}]\n"),
            "gone",
            id="B29-missing-dependency",
        ),
    ],
)
def test_a_chart_that_cannot_be_rendered_is_refused_with_helms_reason(
    made: Made, reason: str, tmp_path: Path, helm: str
) -> None:
    chart = made.write(tmp_path)

    done = helm_relocate(chart, "--to", "registry.corp/m", "-o", tmp_path / "out", env={"HELM_BIN": helm})

    check_refusal(done, 5, "cannot be relocated", reason)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        pytest.param(["--set", "a[b]=1"], 5, "--set", id="B27-set-garbage"),
        pytest.param(["-f", "gone.yaml"], 5, "gone.yaml", id="B27-missing-values-file"),
        pytest.param(["--lock", "gone.lock"], 2, "gone.lock", id="B27-missing-lock"),
    ],
)
def test_what_helm_would_not_take_is_refused(
    arguments: list[str], code: int, reason: str, tmp_path: Path, helm: str
) -> None:
    chart = FORMS["one-string"].write(tmp_path)

    done = helm_relocate(chart, "--to", "registry.corp/m", *arguments, "--check", env={"HELM_BIN": helm})

    check_refusal(done, code, reason)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo 'Error: out of luck' >&2; exit 1", id="B31-fails"),
        pytest.param("exit 3", id="B31-says-nothing"),
        pytest.param("echo 'Error: but it says so here'", id="B31-error-on-stdout"),
    ],
)
def test_a_strange_helm_is_no_success(script: str, tmp_path: Path) -> None:
    fake = tmp_path / "helm"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    chart = FORMS["one-string"].write(tmp_path)

    done = helm_relocate(chart, "--to", "registry.corp/m", "-o", tmp_path / "out", env={"HELM_BIN": str(fake)})

    check_refusal(done, 5)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("helm_bin", [pytest.param("/nowhere/helm", id="B31-missing")])
def test_without_helm_the_reason_is_told(helm_bin: str, tmp_path: Path) -> None:
    chart = FORMS["one-string"].write(tmp_path)

    done = helm_relocate(chart, "--to", "registry.corp/m", env={"HELM_BIN": helm_bin})

    check_refusal(done, 5, "`/nowhere/helm` was not found")


def test_every_refusal_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "made.tgz"
    for cut in range(1, len(archive(GOOD)), 7):
        path.write_bytes(archive(GOOD)[:cut])
        with pytest.raises(AirgapError):
            charts.read(path)
