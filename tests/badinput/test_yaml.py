"""YAML that is broken, hostile or not what it seems: refused with file, line and column, or read as it was meant."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS

from airgap import limits
from airgap.discovery.manifests import find
from airgap.documents.yaml import path_text, plain, read, walk
from airgap.errors import DocumentError
from airgap.relocation.manifests import relocate
from airgap.relocation.policy import Relocation

pytestmark = pytest.mark.undisturbed

POD = b"kind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - image: "
BOMB = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (level, level, b",".join([b"*a%d" % (level - 1)] * 9)) for level in range(1, 10)
)


@pytest.mark.parametrize(
    ("data", "place", "reason"),
    [
        pytest.param(b"a:\n\tb: 1\n", "f:2:1", "cannot start any token", id="B10-tab"),
        pytest.param("a: é\nb: ".encode() + b"\xff\n", "f:2:4", "byte 0xff is no UTF-8", id="B10-bad-utf8"),
        pytest.param("a: 1\n".encode("utf-16"), "f:1:1", "UTF-16", id="B10-utf16"),
        pytest.param(b"a: 1\nb: x\0y\n", "f:2:5", "U+0000 is not allowed", id="B10-nul"),
        pytest.param(b"a: \x1b[31m\n", "f:1:4", "U+001B is not allowed", id="B10-escape"),
        pytest.param(BOMB, "f:7:10", "alias expansion limit", id="B11-billion-laughs"),
        pytest.param(b"a: &a\n  b: *a\n", "f:2:6", "refers to what it stands in", id="B11-cycle"),
        pytest.param(b"a: *b\n", "f:1:4", "no anchor before it", id="B11-no-anchor"),
        pytest.param(b"[" * 5_000, "f:1:101", "nested too deep", id="B12-flow-5000"),
        pytest.param(b'{"a":' * 100_000, "f:1:501", "nested too deep", id="B12-json-100000"),
        pytest.param(b"".join(b" " * n + b"a:\n" for n in range(500)), "f:101:101", "too deep", id="B12-block"),
        pytest.param(b"- " * 5_000, "f:1:201", "nested too deep", id="B12-dashes"),
        pytest.param(b"image: a\nimage: b\n", "f:2:1", "'image' stands twice", id="B15-duplicate"),
        pytest.param(b'{"a": {"b": 1, "b": 2}}', "f:1:16", "'b' stands twice", id="B15-duplicate-json"),
        pytest.param(b"a: !!python/object/apply:os.system [id]\n", "f:1:4", "Python object", id="B16-python"),
        pytest.param(b"? [a, b]\n: c\n", "f:1:3", "a key that is a list or a mapping", id="B16-list-key"),
        pytest.param(b"a: {<<: 1}\n", "f:1:9", "`<<` wants a mapping", id="B16-bad-merge"),
        pytest.param(b"a: 1\nimage: {{ .Values.x }}\n", "f:2", "template that was not rendered", id="B17-value"),
        pytest.param(b"{{- if .x }}\na: 1\n{{- end }}\n", "f:1", "template that was not rendered", id="B17-block"),
        pytest.param(b"a: [1\n", "f:2:1", "did not find expected", id="B18-unclosed"),
        pytest.param(b"---\n" * (limits.DOCUMENTS + 2), "f", "more than 200000 documents", id="B18-documents"),
        pytest.param(b"#" * (limits.YAML_FILE + 1), "f", "67108865 bytes, more than", id="B18-too-large"),
    ],
)
def test_it_is_refused_with_its_place_in_one_line(data: bytes, place: str, reason: str) -> None:
    begun = time.process_time()
    with pytest.raises(DocumentError) as caught:
        read(data, "f")
    assert time.process_time() - begun < 2
    assert caught.value.place == place
    assert reason in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("\ufeffkind: Pod\nspec: {containers: [{image: é/b}]}\n".encode(), id="B10-bom"),
        pytest.param(b"kind: Pod\r\nspec:\r\n  containers:\r\n  - image: a/b\r\n", id="B10-crlf"),
        pytest.param(b"a: " + b"9" * 5_000 + b"\nb: 2024-13-45\nc: 1e999999\n", id="B13-numbers-and-dates"),
        pytest.param(b'{"a": ' + b"9" * 5_000 + b"}", id="B13-json-number"),
        pytest.param(b"a: !Ref b\nb: !<tag:x> {c: !GetAtt d}\n", id="B16-unknown-tags"),
        pytest.param(b"1: a\ntrue: b\n~: c\n2024-01-01: d\n", id="B16-keys-that-are-no-strings"),
        pytest.param(b"a: &a {x: 1}\nb: {<<: [*a, {x: 2, y: 3}], z: 4}\n", id="B16-merge-keys"),
        pytest.param(b"---\n---\n# nothing\n---\n\n---\na: 1\n---\n", id="B18-empty-documents"),
        pytest.param(b"", id="B18-empty-file"),
        pytest.param(b"image:\nspec: {containers: [{image: }, {image: {a: b}}, {image: [c]}], image: ~}", id="B19"),
    ],
)  # fmt: skip
def test_it_is_read(data: bytes) -> None:
    begun = time.process_time()
    assert all(document.line >= 1 for document in read(data, "f"))
    assert find(data, "f").problems == () or b"\xc3\xa9/b" in data
    assert time.process_time() - begun < 2


def test_b14_yaml_1_1_takes_nothing_for_a_number_a_truth_or_a_time() -> None:
    (document,) = read(b"a: NO\nb: 1.10\nc: 12:30:45\nd: 010\ne: 0o17\nf: on\ng: 1_000\nh: .inf\n", "f")
    assert plain(document.root) == {
        "a": "NO", "b": "1.10", "c": "12:30:45", "d": "010", "e": "0o17", "f": "on", "g": "1_000", "h": ".inf",
    }  # fmt: skip
    assert document.root is not None
    assert [path_text(path) for path, scalar in walk(document.root) if scalar.is_string] == []
    (finding,) = find(b"kind: X\nspec: {image: {repository: quay.io/a/b, tag: 1.10}}", "f").findings
    assert finding.reference.tag == "1.10"


def test_b16_merged_keys_are_found_and_own_keys_win() -> None:
    (document,) = read(b"a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n", "f")
    assert plain(document.root) == {"a": {"x": "1", "y": "2"}, "b": {"x": "3", "y": "2"}}


def test_b18_one_bad_document_of_fifty_is_reported_and_the_others_are_searched() -> None:
    documents = [POD + b"r.io/a/b:%d\n" % number for number in range(50)]
    documents[20] = b"kind: [image: {\n"
    found = find(b"---\n".join(documents), "f")
    assert len(found.findings) == 49
    assert [problem.place.source for problem in found.problems] == ["f"]


def test_b15_a_document_with_a_key_twice_is_reported_and_searched_all_the_same() -> None:
    found = find(b"kind: Pod\nspec: {containers: [{image: a/b, name: x, name: y}]}", "f")
    assert [finding.written for finding in found.findings] == ["a/b"]
    assert "'name' stands twice" in found.problems[0].reason


def test_b18_a_file_of_fifty_megabytes_of_schemas_takes_no_time() -> None:
    line = b"          description: " + b"x" * 80 + b"\n"
    data = b"kind: CustomResourceDefinition\nspec:\n" + line * (50_000_000 // len(line)) + b"---\n" + POD + b"a/b\n"
    begun = time.process_time()
    assert len(find(data, "f").findings) == 1
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "value",
    [
        b"A" * 500_000, b"image" * 100_000, b"a." * 200_000, b"a/" * 200_000, b"a:" * 200_000, b"image=" * 100_000,
        b"image: " * 80_000, b" " * 500_000 + b"image=a/b:1", b"#" * 500_000, b"r.io/" * 100_000 + b"a:1",
        b"-" * 300_000, b"%\n  " * 100_000, b"image: a/b:1\n  " * 5_000,
    ],
)  # fmt: skip
def test_no_long_text_takes_long(value: bytes) -> None:
    for form in (b"a: |\n  %s\n", b"a: 'image=c/d:1 %s'\n", b'a: "image %s"\n', b"args: ['--image=%s']\n", b"%s"):
        begun = time.process_time()
        relocate(b"kind: ConfigMap\n" + form % value, "f", Relocation.to("r.local"))
        assert time.process_time() - begun < 2


def airgap(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    begun = time.monotonic()
    ended = subprocess.run([SCRIPTS / "kubectl-airgap", *arguments], input=stdin, capture_output=True, timeout=20)
    assert time.monotonic() - begun < 8  # the machine may be busy; alone it is far below two
    assert b"Traceback" not in ended.stderr
    return ended


def test_b17_the_command_names_file_and_line_of_a_template_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_bytes(b"kind: Pod\nspec:\n  containers:\n  - image: {{ .Values.image }}\n")
    ended = airgap("images", "-f", str(file))
    assert ended.returncode == 5
    assert f"{file}:4".encode() in ended.stderr
    assert b"not rendered" in ended.stderr and b"--chart" in ended.stderr


def test_b18_findings_are_printed_though_a_document_is_broken_and_the_exit_code_tells(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_bytes(POD + b"a/b:1\n---\nimage: [\n")
    ended = airgap("images", "-f", str(file), "-o", "name")
    assert (ended.returncode, ended.stdout) == (5, b"docker.io/a/b:1\n")
    assert airgap("images", "-f", str(file), "-o", "name", "--allow-incomplete").returncode == 0


@pytest.mark.parametrize(
    "data",
    [pytest.param(BOMB + b"image: *a9\n", id="B11"), pytest.param(b"image: " + b"[" * 100_000, id="B12")],
)
def test_the_command_survives(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(data)
    for verb in (["images"], ["relocate", "--to", "r.local"]):
        ended = airgap(*verb, "-f", str(tmp_path / "f.yaml"))
        assert ended.returncode == 5
        assert len(ended.stderr) < 1000


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        pytest.param(b"", b"standard input is empty", id="B72-no-bytes"),
        pytest.param(b"\xff\xfe\0", b"UTF-16", id="B72-no-text"),
    ],
)
def test_standard_input_that_is_nothing_is_said_to_be(stdin: bytes, message: bytes) -> None:
    ended = airgap("images", "-f", "-", stdin=stdin)
    assert ended.returncode in (2, 5)
    assert message in ended.stderr


def test_b72_closed_standard_input_is_said_to_be_closed() -> None:
    script = "import os, sys; os.close(0); os.execvp('kubectl-airgap', ['kubectl-airgap', 'images', '-f', '-'])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20)
    assert ended.returncode == 2
    assert b"standard input is closed" in ended.stderr


def test_b72_a_plain_locale_and_a_narrow_terminal_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f.yaml").write_bytes(POD + b"a/b:1 # \xc3\xa9\n")
    expected = airgap("relocate", "-f", str(tmp_path / "f.yaml"), "--to", "r.local").stdout
    for name, value in (("LC_ALL", "C"), ("COLUMNS", "1"), ("NO_COLOR", "1"), ("PYTHONUTF8", "0")):
        monkeypatch.setenv(name, value)
    assert airgap("relocate", "-f", str(tmp_path / "f.yaml"), "--to", "r.local").stdout == expected
    assert airgap("relocate", "-f", str(tmp_path / "f.yaml"), "--to", "r.local", "--diff").returncode == 0
    assert "é".encode() in expected
