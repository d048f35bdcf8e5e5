"""The forms of artifacts, and their names."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from airgap.bundles import artifacts
from airgap.bundles.artifacts import Artifact
from airgap.bundles.composition import Label
from airgap.bundles.inventory import Item
from airgap.documents.charts import Chart
from airgap.errors import InvalidInput
from airgap.references import Reference
from airgap.stores.local import Piece, of_bytes
from airgap.stores.memory import MemoryStore
from airgap.transfer.graph import walk

EMPTY = {
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "mediaType": "application/vnd.oci.empty.v1+json",
    "size": 2,
}
HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def pieces(*titles: str) -> Mapping[str, Piece]:
    return {title: of_bytes(b"hello", artifacts.FILE_LAYER, title) for title in titles}


def files(*titles: str, name: str = "app", version: str = "") -> Artifact:
    return artifacts.of_files("files", Label(name, version), pieces(*titles), ["bin"])


def chart(name: str = "shop", version: str = "1.2.3", data: bytes = b"chart", source: str = "./shop") -> Artifact:
    text = f"name: {name}\nversion: {version}\n".encode()
    archive = of_bytes(data, artifacts.CHART_LAYER, source)
    return artifacts.of_chart(Chart(name, version, "", {"Chart.yaml": text}), archive, None, source)


def test_files_are_an_artifact_with_a_titled_layer_each() -> None:
    assert json.loads(files("b/tool", "a").manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.airgap.files.v1",
        "config": EMPTY,
        "layers": [
            {
                "mediaType": "application/octet-stream",
                "digest": HELLO,
                "size": 5,
                "annotations": {"org.opencontainers.image.title": title},
            }
            for title in ("a", "b/tool")
        ],
    }


def test_a_chart_is_an_artifact_as_helm_knows_it() -> None:
    document = json.loads(chart(version="1.0.0+b").manifest)
    assert "artifactType" not in document
    assert document["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    assert [layer["mediaType"] for layer in document["layers"]] == [
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    ]
    assert str(chart(version="1.0.0+b").reference) == "airgap.alt/charts/shop:1.0.0_b"


@pytest.mark.parametrize(
    ("name", "version", "reference"),
    [
        ("app", "", "airgap.alt/files/app:latest"),
        ("My App_1.0 (new)", "1.4.0+b", "airgap.alt/files/my-app-1-0-new:1.4.0_b"),
        ("-", "7", "airgap.alt/files/bundle:7"),
    ],
)
def test_files_are_named_after_their_bundle(name: str, version: str, reference: str) -> None:
    assert str(files("a", name=name, version=version).reference) == reference


def test_a_version_that_can_be_no_tag_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is no tag"):
        files("a", version="1/2")


def test_a_chart_whose_name_no_registry_takes_is_refused_with_a_way_out() -> None:
    with pytest.raises(InvalidInput, match=r"`\./shop` can have no name in a registry") as caught:
        chart("Shop")
    assert "--images-only" in caught.value.hint


def test_one_chart_that_is_named_twice_travels_once_with_both_reasons() -> None:
    (one,) = artifacts.joined([chart(source="./shop"), chart(source="shop.tgz"), chart(source="./shop")])
    assert [why.source for why in one.why] == ["./shop", "shop.tgz"]


def test_two_charts_of_one_name_and_version_that_differ_are_refused_by_both_places() -> None:
    with pytest.raises(InvalidInput, match=r"`a` and `b` are both the chart shop 1\.2\.3, and differ"):
        artifacts.joined([chart(source="a"), chart(source="b", data=b"other")])


def test_more_files_than_a_manifest_can_list_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than one artifact can list") as caught:
        files(*(f"{number:0200d}" for number in range(12_000)))
    assert "tar" in caught.value.hint


@pytest.mark.parametrize("title", ["a", "a/b.c", "ä/ü", "-x", "a b", ".hidden", "console", "x" * 255])
def test_ordinary_names_are_titles(title: str) -> None:
    assert artifacts.check_title(title) == title


def test_a_name_that_is_a_file_and_a_folder_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a file and a folder"):
        files("a", "a-b", "a/b")


def test_a_tally_counts_files_one_by_one_and_images_first() -> None:
    store = MemoryStore()
    made = [chart(), files("a", "b")]
    source = artifacts.store_of(made, store)
    graph = walk(source, [artifact.reference for artifact in made])
    roots = {image.reference: image.root for image in graph.images}
    items = [Item(a.kind, a.reference, roots[a.reference].digest, "") for a in made]
    items.append(Item("image", Reference.parse("r.io/a:1"), "sha256:" + "a" * 64, ""))
    assert artifacts.tally(items, graph) == {"image": 1, "chart": 1, "file": 2}
    assert list(artifacts.tally(items, graph)) == ["image", "chart", "file"]
