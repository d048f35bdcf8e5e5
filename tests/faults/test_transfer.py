"""Faults on the line, by their numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap, run
from tests.support.faultproxy import Answer, Fault, fault_proxy, sink
from tests.support.registry import PASSWORD, Registry, login
from tests.support.stored import BLOBS, SIZE, Stored, fetch, impatient

from airgap import limits
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import AirgapError, ContentMismatch, StoreError
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, events, plan
from airgap.transfer.graph import walk


@pytest.mark.parametrize("cut", [pytest.param(n, id=f"F1-at-{n}") for n in (0, 1, SIZE // 2, SIZE - 1)])
def test_a_reset_download_goes_on_where_it_broke(stored: Stored, cut: int) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, reset_after=cut)) as proxy:
        assert fetch(stored, proxy) == stored.layer.digest
        sent = sum(proxy.sent.values())
    assert sent <= stored.layer.size + limits.CHUNK  # what is sent again is one buffer at most


@pytest.mark.parametrize("cut", [pytest.param(n, id=f"F2-at-{n}") for n in (0, SIZE // 3, SIZE - 1)])
def test_a_download_that_ends_early_is_noticed_and_goes_on(stored: Stored, cut: int) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, close_after=cut)) as proxy:
        assert fetch(stored, proxy) == stored.layer.digest
        assert sum(proxy.sent.values()) <= stored.layer.size + 1


def short(answer: Answer) -> Answer:
    """Cut short with a clean end: chunked, so nothing but the descriptor knows the size."""
    return Answer(answer.status, answer.without("content-length"), answer.body[: len(answer.body) // 2 + 1])


def test_f3_a_short_body_with_a_clean_end_is_completed(stored: Stored) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, alter=short)) as proxy:
        assert fetch(stored, proxy) == stored.layer.digest


def test_f3_a_body_that_never_gets_longer_is_an_error_that_names_both_sizes(stored: Stored) -> None:
    content = stored.origin.blobs[stored.layer.digest]

    def always_the_first_thousand(answer: Answer) -> Answer:
        return Answer(200, answer.without("content-length", "content-range"), content[:1000])

    with (
        fault_proxy(stored.registry.host, Fault("GET", BLOBS, 99, alter=always_the_first_thousand)) as proxy,
        pytest.raises(StoreError) as caught,
    ):
        fetch(stored, proxy)
    assert "1000" in caught.value.message
    assert str(stored.layer.size) in caught.value.message


def longer(answer: Answer) -> Answer:
    return Answer(answer.status, answer.without("content-length"), answer.body + b"more")


def test_f4_trailing_data_is_refused_and_nothing_of_it_is_passed_on(stored: Stored) -> None:
    got = 0
    with (
        fault_proxy(stored.registry.host, Fault("GET", BLOBS, 99, alter=longer)) as proxy,
        pytest.raises(ContentMismatch) as caught,
    ):
        for chunk in impatient().blob(f"{proxy.host}/{stored.repository}", stored.layer):
            got += len(chunk)
    assert got <= stored.layer.size
    assert "trailing data" in caught.value.message


def flipped(answer: Answer) -> Answer:
    middle = len(answer.body) // 2
    body = answer.body[:middle] + bytes([answer.body[middle] ^ 4]) + answer.body[middle + 1 :]
    return Answer(answer.status, answer.headers, body)


def test_f5_a_bit_flipped_once_is_fetched_again_and_said(stored: Stored) -> None:
    notes: list[events.Event] = []
    with fault_proxy(stored.registry.host, Fault("GET", stored.layer.hex, alter=flipped)) as proxy:
        target = MemoryStore()
        name = stored.reference(proxy.host)
        source = impatient()
        todo = plan.plan(walk(source, [name]), target, {name: name})
        engine.run(todo, source, target, engine.Conduct(observe=notes.append))
    assert target.blobs[stored.layer.digest] == stored.origin.blobs[stored.layer.digest]
    assert any(isinstance(note, events.Note) and stored.layer.digest in note.text for note in notes)


def test_f5_a_bit_flipped_always_is_an_error_and_leaves_no_bundle(stored: Stored, tmp_path: Path) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", stored.layer.hex, 99, alter=flipped)) as proxy:
        done = kubectl_airgap("pack", "--quiet", "--image", stored.reference(proxy.host), "-o", tmp_path / "x.tar")
    assert done.returncode == 3
    assert stored.layer.digest in done.stderr
    assert not (tmp_path / "x.tar").exists()


def redirect_to(url: str) -> Callable[[Answer], Answer]:
    """A redirect in place of any answer but a request for a login."""
    moved = Answer(307, [("Location", url), ("Content-Length", "0")], b"")
    return lambda answer: answer if answer.status == 401 else moved


def test_f27_a_redirect_to_another_host_carries_no_login(
    basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = b"content at another host"
    blob = Descriptor.of(content, OCI_LAYER)
    with (
        sink(body=content) as elsewhere,
        fault_proxy(basic_registry.host, Fault("GET", BLOBS, 2, alter=redirect_to(elsewhere.url + "/x"))) as proxy,
    ):
        login(monkeypatch, tmp_path, proxy.host)
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.2 login u password {PASSWORD}\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert b"".join(bytes(c) for c in impatient().blob(f"{proxy.host}/some/thing", blob)) == content
        assert any(proxy.logins)
        assert elsewhere.requests == ["GET /x"]
        assert elsewhere.logins == [""]


def test_f27_a_place_we_are_sent_to_may_ask_for_a_login_but_gets_none(
    basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blob = Descriptor.of(b"x", OCI_LAYER)
    with (
        fault_proxy(basic_registry.host, Fault("GET", "^/x", 99, answer=challenge("http://127.0.0.1:1/token"))) as evil,
        fault_proxy(basic_registry.host, Fault("GET", BLOBS, 99, alter=redirect_to(f"http://{evil.host}/x"))) as proxy,
    ):
        login(monkeypatch, tmp_path, proxy.host)
        with pytest.raises(StoreError, match="sends us to a place that answered 401"):
            list(impatient().blob(f"{proxy.host}/some/thing", blob))
        assert set(evil.logins) == {""}


def test_f27_a_location_that_is_no_address_is_said_to_be_none(stored: Stored) -> None:
    with (
        fault_proxy(stored.registry.host, Fault("GET", BLOBS, 99, alter=redirect_to("http://[bad/"))) as proxy,
        pytest.raises(StoreError, match="address that is none"),
    ):
        fetch(stored, proxy)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("file:///etc/passwd", id="F27-file"),
        pytest.param("ftp://127.0.0.1/x", id="F27-ftp"),
        pytest.param("http://user:secret@127.0.0.1:1/x", id="F27-userinfo"),
        pytest.param("http://169.254.169.254/latest/meta-data", id="F27-link-local"),
    ],
)
def test_a_redirect_to_a_place_that_cannot_be_meant_is_refused(stored: Stored, url: str) -> None:
    with (
        fault_proxy(stored.registry.host, Fault("GET", BLOBS, 99, alter=redirect_to(url))) as proxy,
        pytest.raises(StoreError, match="refused"),
    ):
        fetch(stored, proxy)


def test_f27_redirects_in_a_circle_end(stored: Stored) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, 99, alter=redirect_to("?again"))) as proxy:
        with pytest.raises(StoreError, match="redirects more than"):
            fetch(stored, proxy)
        assert len([request for request in proxy.requests if BLOBS in request]) <= 6


def challenge(realm: str) -> Answer:
    header = f'Bearer realm="{realm}",service="x",scope="repository:a/b:pull"'
    return Answer(401, [("WWW-Authenticate", header), ("Content-Length", "0")], b"")


REALMS = {
    "loopback": "{sink}/token",
    "userinfo": "http://user:secret@{host}/token",
    "link-local": "http://169.254.169.254/token",
    "other-scheme": "gopher://{host}/token",
    "private": "http://10.0.0.7/token",
    "v4-in-v6": "http://[::ffff:127.0.0.2]/token",
    "empty": "",
}


@pytest.mark.parametrize("realm", [pytest.param(value, id=f"F29-{key}") for key, value in REALMS.items()])
def test_a_token_server_at_a_place_that_cannot_be_meant_is_asked_nothing(
    stored: Stored, realm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with sink() as elsewhere, fault_proxy(stored.registry.host) as proxy:
        url = realm.format(sink=elsewhere.url, host=proxy.host)
        proxy.faults.append(Fault("GET", "/manifests/", 99, answer=challenge(url)))
        login(monkeypatch, tmp_path, proxy.host)
        with pytest.raises(StoreError, match="refused"):
            impatient().resolve(stored.reference(proxy.host))
        assert elsewhere.requests == []


def test_f29_a_token_server_that_redirects_gets_no_second_chance(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with sink() as elsewhere, fault_proxy(stored.registry.host) as proxy:
        proxy.faults += [
            Fault("GET", "/manifests/", 99, answer=challenge(f"http://{proxy.host}/token")),
            Fault("GET", "^/token", 99, alter=redirect_to(elsewhere.url)),
        ]
        login(monkeypatch, tmp_path, proxy.host)
        with pytest.raises(StoreError, match="sends us elsewhere"):
            impatient().resolve(stored.reference(proxy.host))
        assert elsewhere.requests == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_f35_a_disk_that_is_too_small_is_refused_before_the_first_byte(stored: Stored, small_disk: Path) -> None:
    old = small_disk / "x.tar"
    old.write_bytes(b"an older bundle")
    done = kubectl_airgap("pack", "--image", stored.reference(stored.registry.host), "-o", old)
    check_refusal(done, 1, "needs", "free", "hint: ")
    assert old.read_bytes() == b"an older bundle"
    assert [path.name for path in small_disk.iterdir() if path.name != "x.tar.partial"] == ["x.tar"]


@pytest.mark.undisturbed
@pytest.mark.parametrize(
    ("syscall", "error"),
    [
        pytest.param("pwrite64", "ENOSPC", id="F35-write-full"),
        pytest.param("fallocate", "ENOSPC", id="F35-reserve-full"),
        pytest.param("fsync", "ENOSPC", id="F35-flush-full"),
        pytest.param("fsync", "EIO", id="F35-flush-fails"),
        pytest.param("rename", "ENOSPC", id="F35-rename-full"),
    ],
)
def test_a_disk_that_fails_at_any_step_leaves_the_older_bundle(
    stored: Stored, tmp_path: Path, syscall: str, error: str
) -> None:
    bundle = tmp_path / "x.tar"
    bundle.write_bytes(b"an older bundle")
    image = stored.reference(stored.registry.host)
    fault = (f"trace={syscall}", f"inject={syscall}:error={error}")
    traced = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", fault[0], "-e", fault[1])
    done = run(*traced, SCRIPTS / "kubectl-airgap", "pack", "--quiet", "--image", image, "-o", bundle)
    assert done.returncode in (1, 4), done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert bundle.read_bytes() == b"an older bundle"
    after = kubectl_airgap("pack", "--quiet", "--image", image, "-o", bundle)
    assert after.returncode == 0, after.stderr
    assert kubectl_airgap("verify", bundle).returncode == 0


def stalled(answer: Answer) -> Answer:
    time.sleep(30)
    return answer


def test_f40_an_interrupted_pack_stays_and_the_same_command_completes_it(stored: Stored, tmp_path: Path) -> None:
    bundle = tmp_path / "x.tar"
    partial = tmp_path / "x.tar.partial"
    slow = Fault("GET", stored.layer.hex, alter=stalled)
    config = next(data for data in stored.origin.blobs.values() if b'"rootfs"' in data)
    with fault_proxy(stored.registry.host, slow) as proxy:
        command = [SCRIPTS / "kubectl-airgap", "pack", "--image", stored.reference(proxy.host), "-o", bundle]
        process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: slow.times == 0 and partial.exists() and config in partial.read_bytes())
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=10)
        assert process.returncode == 130, words
        assert "Traceback" not in words
        assert "hint: " in words
        assert partial.exists()
        assert not bundle.exists()
        again = kubectl_airgap("pack", "--image", stored.reference(proxy.host), "-o", bundle)
        assert again.returncode == 0, again.stderr
        assert "kept from an earlier run" in again.stderr
    assert not partial.exists()
    assert kubectl_airgap("verify", bundle).returncode == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_f14_a_server_that_always_fails_ends_within_its_attempts(stored: Stored) -> None:
    failing = Answer(503, [("Content-Length", "0")], b"")
    with fault_proxy(stored.registry.host, Fault("GET", "/manifests/", 99, answer=failing)) as proxy:
        with pytest.raises(AirgapError, match="tried 3 times"):
            impatient().resolve(stored.reference(proxy.host))
        assert sum("/manifests/" in request for request in proxy.requests) == 3
