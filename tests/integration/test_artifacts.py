"""Charts, manifests and files in the bundle, and in the registry where helm and oras find them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oras.provider
import pytest
from tests.support.charts import FORMS, archive
from tests.support.cli import Ended, check_refusal, kubectl_airgap, run
from tests.support.faultproxy import Answer, Fault, fault_proxy
from tests.support.images import add_image
from tests.support.registry import Registry, store_for
from tests.support.runtimes import Runtime
from tests.support.tools import require

from airgap.bundles.artifacts import CHART_CONFIG, CHART_LAYER, CHART_PROVENANCE
from airgap.bundles.lock import read as read_lock
from airgap.bundles.reader import open_file
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

META = """
apiVersion: v2
name: shop
version: 1.2.3+b.4
appVersion: "2.0"
description: Sells <things> & more
home: https://shop.example.org
sources: [https://git.example.org/shop]
keywords: [shop, "1.10"]
maintainers: [{name: A, email: a@example.org}, {name: B, url: https://b.example.org}]
icon: https://shop.example.org/icon.svg
type: application
kubeVersion: ">=1.20.0-0"
deprecated: true
annotations: {z: last, a: "first"}
dependencies:
  - {name: cache, version: 0.1.0, condition: cache.enabled, tags: [fast], import-values: [x, {child: a, parent: b}]}
"""
PROVENANCE = b"-----BEGIN PGP SIGNED MESSAGE-----\nshop: 1\n"


@dataclass(frozen=True)
class Scene:
    """A folder with a chart, manifests and files that need one image, which a registry has."""

    root: Path
    image: str

    @property
    def chart(self) -> Path:
        return self.root / "shop-1.2.3+b.4.tgz"

    def pack(self, *arguments: object, output: str = "app.tar") -> Ended:
        done = kubectl_airgap("pack", *arguments, "-o", self.root / output)
        assert done.returncode == 0, done.stderr
        return done

    @property
    def everything(self) -> list[object]:
        files = ("--file", self.root / "bin", "--file", f"{self.root / 'bin/tool'}=other/name")
        return ["--chart", self.chart, "-f", self.root / "deploy", "-R", *files, "--bundle-version", "7"]


@pytest.fixture(scope="module")
def image(registry: Registry) -> str:
    name = f"{registry.repository()}/web:1"
    store = MemoryStore()
    add_image(store, name)
    reference = Reference.parse(name)
    target = store_for(registry)
    engine.run(plan.plan(walk(store, [reference]), target, {reference: reference}), store, target)
    return name


def pod(image: str) -> str:
    containers = f"  containers: [{{name: web, image: '{image}'}}]\n"
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{containers}"


@pytest.fixture
def scene(image: str, tmp_path: Path) -> Scene:
    return written(tmp_path, image)


@pytest.fixture(scope="module")
def packed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene that nobody changes, with everything in `app.tar`."""
    made = written(tmp_path_factory.mktemp("packed"), image)
    assert "packed 1 image, 1 chart, 2 manifests, 3 files into" in made.pack(*made.everything).stderr
    return made


@pytest.fixture(scope="module")
def push(packed: Scene, other_registry: Registry) -> tuple[str, Ended]:
    """The prefix that it was pushed to, and what was said."""
    prefix = other_registry.repository()
    done = kubectl_airgap("push", packed.root / "app.tar", prefix)
    assert done.returncode == 0, done.stderr
    return prefix, done


@pytest.fixture
def pushed(push: tuple[str, Ended]) -> str:
    return push[0]


def written(root: Path, image: str) -> Scene:
    made = Scene(root, image)
    files: dict[str, str | bytes] = {
        "shop/Chart.yaml": META,
        "shop/values.yaml": f"image: {image}\n",
        "shop/templates/pod.yaml": pod("{{ .Values.image }}"),
        "shop/charts/cache-0.1.0.tgz": archive({"cache/Chart.yaml": "apiVersion: v2\nname: cache\nversion: 0.1.0\n"}),
    }
    made.chart.write_bytes(archive(files))
    for path, data in (
        ("deploy/web.yaml", pod(image).encode()),
        ("deploy/more/map.yaml", b"kind: ConfigMap\n"),
        ("bin/tool", b"a program" * 300_000),
        ("bin/lib/empty", b""),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return made


def test_inspect_and_verify_tell_everything_by_its_kind(packed: Scene) -> None:
    items = kubectl_airgap("inspect", packed.root / "app.tar", "-o", "json").json["items"]
    assert {(item["reference"], item["kind"]): item.get("files") for item in items} == {
        (packed.image, "image"): None,
        ("airgap.alt/charts/shop:1.2.3_b.4", "chart"): None,
        ("airgap.alt/manifests/app:7", "manifests"): ["more/map.yaml", "web.yaml"],
        ("airgap.alt/files/app:7", "files"): ["bin/lib/empty", "bin/tool", "other/name"],
    }
    assert "1 image, 1 chart, 2 manifests, 3 files in" in kubectl_airgap("inspect", packed.root / "app.tar").stderr
    assert "is whole: 1 image, 1 chart, 2 manifests, 3 " in kubectl_airgap("verify", packed.root / "app.tar").stderr


@pytest.mark.parametrize("program", ["helm", "helm3"])
def test_helm_pulls_the_very_bytes_of_a_chart_and_renders_it(
    program: str, packed: Scene, pushed: str, tmp_path: Path
) -> None:
    helm = require(program)
    chart = (f"oci://{pushed}/charts/shop", "--version", "1.2.3+b.4", "--plain-http")
    (tmp_path / "out").mkdir()
    done = run(helm, "pull", *chart, "--destination", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (pulled,) = (tmp_path / "out").glob("*.tgz")
    assert pulled.read_bytes() == packed.chart.read_bytes()
    rendered = run(helm, "template", "x", *chart)
    assert packed.image in rendered.stdout, rendered.stderr


def test_a_chart_is_described_as_helm_describes_what_it_pushes(
    packed: Scene, pushed: str, other_registry: Registry
) -> None:
    theirs = other_registry.repository()
    done = run(require("helm"), "push", packed.chart, f"oci://{theirs}", "--plain-http")
    assert done.returncode == 0, done.stderr
    ours, other = (manifest(f"{name}:1.2.3_b.4") for name in (f"{pushed}/charts/shop", f"{theirs}/shop"))
    assert ours["config"] == other["config"]
    assert ours["layers"] == other["layers"]
    assert ours["config"]["mediaType"] == CHART_CONFIG
    assert ours["layers"][0]["mediaType"] == CHART_LAYER


def manifest(reference: str) -> dict[str, Any]:
    found = run(require("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
    assert found.returncode == 0, found.stderr
    value: dict[str, Any] = found.json
    return value


def test_oras_pulls_manifests_and_files_by_their_names(packed: Scene, pushed: str, tmp_path: Path) -> None:
    client = oras.provider.Registry(insecure=True, tls_verify=False)
    for kind, folder in (("manifests", "deploy"), ("files", ".")):
        out = tmp_path / f"pulled-{kind}"
        found = client.pull(target=f"{pushed}/{kind}/app:7", outdir=str(out))
        names = {str(Path(path).relative_to(out)) for path in found}
        for name in names - {"other/name"}:
            assert (out / name).read_bytes() == (packed.root / folder / name).read_bytes()
    assert names == {"bin/tool", "bin/lib/empty", "other/name"}
    assert (out / "other/name").read_bytes() == (packed.root / "bin/tool").read_bytes()


def test_push_says_what_helm_can_do_next_and_the_lock_speaks_of_images(packed: Scene, push: tuple[str, Ended]) -> None:
    prefix, done = push
    assert f"pushed 1 image, 1 chart, 2 manifests, 3 files to {prefix}" in done.stderr
    assert f"helm relocate oci://{prefix}/charts/shop --version 1.2.3+b.4 --to {prefix}" in done.stderr
    assert f"helm install NAME oci://{prefix}/charts/shop --version 1.2.3+b.4 --post-renderer" in done.stderr
    lock = packed.root / "app.lock.yaml"
    assert [str(entry.source) for entry in read_lock(lock).entries] == [packed.image]
    moved = kubectl_airgap("relocate", "-f", packed.root / "deploy/web.yaml", "--lock", lock)
    assert f"{prefix}/{Reference.parse(packed.image).repository}:1" in moved.stdout


def test_the_same_inputs_give_the_same_bytes_whoever_owns_them_and_whenever_they_were_made(scene: Scene) -> None:
    chart = FORMS["registry-repository-tag"].write(scene.root / "charts", "made")
    (chart / "templates/pod.yaml").write_text(pod(scene.image))
    given = [*scene.everything, "--chart", chart]
    scene.pack(*given)
    before = (scene.root / "app.tar").read_bytes()
    other = scene.root.with_name(f"{scene.root.name}-copy")
    shutil.copytree(scene.root, other)
    for path in (*other.rglob("*"),):
        path.chmod(0o700)
        subprocess.run(["touch", "-d", "2001-01-01", path], check=True)
    (scene.root / "app.tar").unlink()
    for folder in ("bin", "deploy", "charts"):
        shutil.rmtree(scene.root / folder)
        shutil.copytree(other / folder, scene.root / folder)
    scene.pack(*given[-2:], *given[:-2])
    assert (scene.root / "app.tar").read_bytes() == before


def test_a_chart_in_a_folder_is_one_that_helm_installs(scene: Scene, other_registry: Registry, helm: str) -> None:
    chart = FORMS["registry-repository-tag"].write(scene.root / "charts", "made")
    (chart / "templates/pod.yaml").write_text(pod(scene.image))
    scene.pack("--chart", chart)
    prefix = other_registry.repository()
    assert kubectl_airgap("push", scene.root / "app.tar", prefix).returncode == 0
    rendered = run(helm, "template", "x", f"oci://{prefix}/charts/made", "--version", "1.2.3", "--plain-http")
    assert scene.image in rendered.stdout, rendered.stderr


def test_a_provenance_file_beside_a_chart_comes_along(scene: Scene, other_registry: Registry, helm: str) -> None:
    scene.chart.with_name(f"{scene.chart.name}.prov").write_bytes(PROVENANCE)
    scene.pack("--chart", scene.chart)
    prefix = other_registry.repository()
    assert kubectl_airgap("push", scene.root / "app.tar", prefix).returncode == 0
    layers = manifest(f"{prefix}/charts/shop:1.2.3_b.4")["layers"]
    assert [layer["mediaType"] for layer in layers] == [CHART_LAYER, CHART_PROVENANCE]
    out = scene.root / "out"
    out.mkdir()
    chart = (f"oci://{prefix}/charts/shop", "--version", "1.2.3+b.4", "--plain-http")
    done = run(helm, "pull", *chart, "--prov", "--destination", out)
    assert done.returncode == 0, done.stderr
    assert next(out.glob("*.prov")).read_bytes() == PROVENANCE


@pytest.mark.parametrize(("program", "kind"), [("helm", "tls_registry"), ("helm3", "registry")])
@pytest.mark.parametrize("signed", [False, True])
def test_a_chart_that_is_pulled_travels_as_it_was_pulled(
    program: str, kind: str, signed: bool, scene: Scene, request: pytest.FixtureRequest
) -> None:
    place_of_charts: Registry = request.getfixturevalue(kind)  # on loopback, helm 3 speaks plain HTTP only
    beside = scene.chart.with_name(f"{scene.chart.name}.prov")
    if signed:
        beside.write_bytes(PROVENANCE)
    trusted = {"SSL_CERT_FILE": str(place_of_charts.ca_file)} if place_of_charts.ca_file else {}
    env = {"HELM_BIN": require(program), **trusted}
    place = f"oci://{place_of_charts.repository()}"
    done = run(require(program), "push", scene.chart, place, env=env)
    assert done.returncode == 0, done.stderr
    flags = ("--chart", f"{place}/shop", "--version", "1.2.3+b.4", "-o", scene.root / "app.tar")
    done = kubectl_airgap("pack", *flags, env=env)
    assert "packed 1 image, 1 chart into" in done.stderr
    with open_file(scene.root / "app.tar") as bundle:
        assert digest_of(scene.chart) in bundle.digests
        assert not signed or digest_of(beside) in bundle.digests
        assert {why.source for item in bundle.inventory.items for why in item.why} == {f"{place}/shop"}


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_images_only_leaves_charts_and_manifests_out_at_either_end(
    scene: Scene, packed: Scene, other_registry: Registry
) -> None:
    assert (
        "packed 1 image into" in scene.pack("--chart", scene.chart, "-f", scene.root / "deploy", "--images-only").stderr
    )
    prefix = other_registry.repository()
    done = kubectl_airgap("push", packed.root / "app.tar", prefix, "--images-only")
    assert f"pushed 1 image to {prefix}" in done.stderr
    assert not any(f"{prefix.partition('/')[2]}/charts" in request for request in other_registry.requests())


def test_what_comes_through_a_pipe_travels_too(scene: Scene) -> None:
    done = kubectl_airgap("pack", "-f", "-", "-o", scene.root / "app.tar", stdin=pod(scene.image))
    assert done.returncode == 0, done.stderr
    items = {
        item["kind"]: item for item in kubectl_airgap("inspect", scene.root / "app.tar", "-o", "json").json["items"]
    }
    assert items["manifests"]["files"] == ["stdin.yaml"]
    assert items["image"]["why"] == ["stdin:5 Pod/web .spec.containers[0].image (certain)"]


def test_files_alone_make_a_bundle_that_says_what_does_not_read_it(scene: Scene, other_registry: Registry) -> None:
    done = scene.pack("--file", scene.root / "bin")
    assert "packed 2 files into" in done.stderr
    assert "`docker load` and `podman load` find nothing in it" in done.stderr
    prefix = other_registry.repository()
    done = kubectl_airgap("push", scene.root / "app.tar", prefix)
    assert f"pushed 2 files to {prefix}" in done.stderr
    assert "lock" not in done.stderr
    assert not (scene.root / "app.lock.yaml").exists()


def test_containerd_imports_the_images_although_charts_are_beside_them(packed: Scene, ctr: Runtime) -> None:
    ctr("images", "import", "--snapshotter", "native", packed.root / "app.tar")
    assert packed.image in ctr("images", "ls", "-q").split()
    index = run("tar", "-xOf", packed.root / "app.tar", "index.json").json
    hidden = {entry["annotations"].get("dev.airgap.name"): entry["annotations"] for entry in index["manifests"]}
    assert all(len(annotations) == 1 for name, annotations in hidden.items() if name)
    assert len(hidden) == 4  # three of ours, and the image, which has none


def test_podman_and_docker_load_the_images_although_charts_are_beside_them(
    packed: Scene, podman: Runtime, docker: Runtime
) -> None:
    for runtime in (podman, docker):
        runtime("load", "--input", packed.root / "app.tar")
        listed = runtime("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        assert packed.image in listed
        assert not any("airgap.alt" in name for name in listed)


def test_a_delta_of_a_new_file_has_the_new_file_only(scene: Scene, packed: Scene, other_registry: Registry) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", packed.root / "app.tar", prefix, "--naming", "keep").returncode == 0
    (scene.root / "bin/new").write_text("new")
    done = scene.pack(*scene.everything, "--since", packed.root / "app.tar", output="app-2.tar")
    assert "are left to the other side" in done.stderr
    assert (scene.root / "app-2.tar").stat().st_size < 50_000
    done = kubectl_airgap("push", scene.root / "app-2.tar", prefix, "--naming", "keep")
    assert done.returncode == 0, done.stderr
    layers = manifest(f"{prefix}/files/app-2:7")["layers"]
    assert len(layers) == 4
    assert json.dumps(layers).count("bin/new") == 1


def test_a_registry_that_takes_images_only_is_explained(packed: Scene, other_registry: Registry) -> None:
    body = b'{"errors": [{"code": "MANIFEST_INVALID", "message": "unsupported artifact type"}]}'
    answer = Answer(400, [("Content-Length", str(len(body)))], body)
    path = other_registry.repository().partition("/")[2]
    with fault_proxy(other_registry.host, Fault("PUT", "/files/app/manifests/", 9, answer=answer)) as proxy:
        done = kubectl_airgap("push", "-q", packed.root / "app.tar", f"{proxy.host}/{path}")
        check_refusal(done, 4, "unsupported artifact type", "--images-only")
        done = kubectl_airgap("push", "-q", packed.root / "app.tar", f"{proxy.host}/{path}", "--images-only")
        assert done.returncode == 0, done.stderr
