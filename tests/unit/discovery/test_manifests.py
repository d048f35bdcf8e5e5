"""Images are found where people write them, and nothing else is taken for one."""

# ruff: noqa: E501 - a table of documents, one a line, is read more easily than a wrapped one

from __future__ import annotations

import json
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.discovery.findings import Certainty
from airgap.discovery.manifests import find, occurrences

SHA = "sha256:" + "ab" * 32
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"


def images(text: str) -> list[str]:
    """`certainty reference` of each finding."""
    found = find(filled(text).encode(), "f.yaml")
    assert found.problems == ()
    return [f"{finding.certainty} {finding.reference}" for finding in found.findings]


def filled(text: str) -> str:
    return text.replace("DIGEST", SHA).replace("HEX", SHA[7:])


def names(text: str) -> list[str]:
    found = find(filled(text).encode(), "f.yaml")
    return sorted({str(finding.reference) for finding in found.findings})


@pytest.mark.parametrize(
    "text",
    [
        POD + "  containers: [{name: c, image: nginx}]",
        POD + "  initContainers: [{name: c, image: nginx}]",
        POD + "  ephemeralContainers: [{name: c, image: nginx}]",
        POD + "  volumes: [{name: v, image: {reference: nginx, pullPolicy: Always}}]",
        "kind: Deployment\nspec: {template: {spec: {containers: [{image: nginx}]}}}",
        "kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: nginx}]}}}}}",
        "kind: PodTemplate\ntemplate: {spec: {containers: [{image: nginx}]}}",
        "kind: Rollout\nspec: {template: {spec: {containers: [{image: nginx}]}}}",
        "kind: List\nitems:\n- kind: Deployment\n  spec: {template: {spec: {containers: [{image: nginx}]}}}",
        "kind: DeploymentList\nitems:\n- kind: Deployment\n  spec: {template: {spec: {containers: [{image: nginx}]}}}",
        "kind: List\nitems:\n- kind: List\n  items:\n  - kind: Pod\n    spec: {containers: [{image: nginx}]}",
        "kind: ClusterServiceVersion\nspec: {relatedImages: [{name: a, image: nginx}]}",
        "kind: ClusterServiceVersion\nmetadata: {name: c, annotations: {containerImage: nginx}}",
        "kind: ClusterServiceVersion\nspec: {install: {spec: {deployments: [{spec: {template: {spec: "
        "{containers: [{image: nginx}]}}}}]}}}",
        json.dumps({"kind": "Pod", "spec": {"containers": [{"image": "nginx"}]}}),
    ],
)
def test_a_field_that_is_an_image_by_definition_is_certain_even_with_a_bare_name(text: str) -> None:
    assert images(text) == ["certain docker.io/library/nginx:latest"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env: [{name: DASHBOARD_IMAGE, value: 'juicedata/csi-dashboard:v1'}]", "docker.io/juicedata/csi-dashboard:v1"),
        ("env: [{name: RELATED_IMAGE_editor_x, value: quay.io/a/b@DIGEST}]", f"quay.io/a/b@{SHA}"),
        ("env: [{name: IMAGE_PIPELINES_PROXY, value: 'ghcr.io/a/b:1'}]", "ghcr.io/a/b:1"),
        ("env: [{name: HELPER_IMAGE, value: 'busybox:1'}]", "docker.io/library/busybox:1"),
        ("env: [{name: DEFAULT_MAVEN_BUILDER, value: 'quay.io/a/b:1'}]", "quay.io/a/b:1"),
        ('env: [{name: CONFIG, value: \'{"sidecar": {"image": "quay.io/a/b:1"}}\'}]', "quay.io/a/b:1"),
        ("env:\n- name: IMAGES\n  value: |\n    4.2.0=quay.io/a/b:4.2.0\n", "quay.io/a/b:4.2.0"),
        ("args: ['--acme-http01-solver-image=quay.io/a/b:1']", "quay.io/a/b:1"),
        ("args: ['--prometheus-config-reloader=quay.io/a/b:1']", "quay.io/a/b:1"),
        ("args: ['--executor-image', 'a/b']", "docker.io/a/b:latest"),
        ("args: ['--executor-image=busybox:1']", "docker.io/library/busybox:1"),
        ("args: ['-git-image', 'gcr.io/a/b@DIGEST', # why\n  '-x']", f"gcr.io/a/b@{SHA}"),
        ("command: [sh, -c, 'kubectl run x --image=quay.io/a/b:1 --rm']", "quay.io/a/b:1"),
        ('args: [\'--config={"image": "quay.io/a/b:1"}\']', "quay.io/a/b:1"),
    ],
)
def test_arguments_and_variables_of_a_container_are_read(text: str, expected: str) -> None:
    container = textwrap.indent(f"containers:\n- name: c\n{textwrap.indent(text, '  ')}", "  ")
    assert images(POD + container) == [f"likely {expected}"]


def test_an_argument_may_hold_several_images() -> None:
    text = POD + "  containers: [{args: ['--pull-images=a/b:1, c/d:2', '--side=x=quay.io/e/f:3,y=quay.io/g/h:4']}]"
    assert names(text) == ["docker.io/a/b:1", "docker.io/c/d:2", "quay.io/e/f:3", "quay.io/g/h:4"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Prometheus\nspec: {image: 'quay.io/a/b:1', version: v1}", ["quay.io/a/b:1"]),
        ("kind: Cluster\nspec: {imageName: 'ghcr.io/a/b:16'}", ["ghcr.io/a/b:16"]),
        ("kind: Thing\nspec: {sidecarImage: 'a/b'}", ["docker.io/a/b:latest"]),
        ("kind: Thing\nspec: {images: ['a/b:1', 'c:2']}", ["docker.io/a/b:1", "docker.io/library/c:2"]),
        ("kind: Thing\nspec: {pruner: {tkn: 'ghcr.io/a/b@DIGEST'}}", [f"ghcr.io/a/b@{SHA}"]),
        ("kind: Workflow\nspec: {templates: [{container: {image: alpine}}]}", ["docker.io/library/alpine:latest"]),
        ("kind: Task\nspec: {steps: [{image: alpine}]}", ["docker.io/library/alpine:latest"]),
        ("kind: P\nspec: {driver: {repository: nvcr.io/nvidia, image: driver, version: '1.2'}}", ["nvcr.io/nvidia/driver:1.2"]),
        ("kind: P\nspec: {driver: {repository: nvcr.io/nvidia, image: driver, version: 'DIGEST'}}", [f"nvcr.io/nvidia/driver@{SHA}"]),
        ("kind: H\nspec: {values: {image: {registry: quay.io, repository: a/b, tag: 1.10}}}", ["quay.io/a/b:1.10"]),
        ("kind: H\nspec: {values: {image: {repository: quay.io/a/b, tag: v1, digest: ''}}}", ["quay.io/a/b:v1"]),
        ("kind: H\nspec: {values: {image: {repository: a/b, tag: ~, sha: HEX}}}", [f"docker.io/a/b@{SHA}"]),
        ("kind: H\nspec: {values: {image: quay.io/a/b, imageTag: v1}}", ["quay.io/a/b:v1"]),
        ("kind: H\nspec: {values: {imageRepository: quay.io/a/b, imageTag: v1}}", ["quay.io/a/b:v1"]),
        ("kind: Installation\nspec: {registry: quay.io, image: tigera/operator, version: v1}", ["quay.io/tigera/operator:v1"]),
        (
            "kind: ConfigMap\ndata:\n  values: '{\"global\": {\"hub\": \"docker.io/istio\", \"tag\": \"1.2\", "
            "\"proxy\": {\"image\": \"proxyv2\"}}, \"pilot\": {\"hub\": \"\", \"image\": \"pilot\"}}'",
            ["docker.io/istio/pilot:1.2", "docker.io/istio/proxyv2:1.2"],
        ),
    ],
)  # fmt: skip
def test_custom_resources_name_images_in_one_field_or_in_several(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {ROOK_CSI_CEPH_IMAGE: 'quay.io/a/b:1'}", ["quay.io/a/b:1"]),
        ("data:\n  pod.yaml: |\n    spec:\n      containers:\n      - image: busybox\n", []),
        ("data:\n  pod.yaml: |\n    spec:\n      containers:\n      - image: busybox:1\n", ["docker.io/library/busybox:1"]),
        ("data:\n  a.json: '{\"spec\": {\"image\": \"quay.io/a/b:1\"}}'", ["quay.io/a/b:1"]),
        ("data:\n  a.properties: |\n    # image=quay.io/not/this:1\n    helper.image=quay.io/a/b:1\n", ["quay.io/a/b:1"]),
        (
            "data:\n  config: |\n    {{- if .x }}\n    spec:\n      containers:\n      - image: busybox:1.28\n"
            "      - image: \"{{ .ProxyImage }}\"\n    {{- end }}\n",
            ["docker.io/library/busybox:1.28"],
        ),
        ("data:\n  a: |\n    b: |\n      c: '{\"image\": \"quay.io/a/b:1\"}'\n", ["quay.io/a/b:1"]),
        ("metadata: {annotations: {helm.sh/images: '- image: a/b:1\n\n  name: x'}}", ["docker.io/a/b:1"]),
        ("metadata:\n  annotations:\n    alm-examples: '[{\"kind\": \"X\", \"spec\": {\"image\": \"quay.io/a/b:1\"}}]'", ["quay.io/a/b:1"]),
    ],
)  # fmt: skip
def test_files_inside_values_are_searched_by_the_same_rules(text: str, expected: list[str]) -> None:
    if not expected:  # a bare name in a container of a template is an image as well
        expected = ["docker.io/library/busybox:latest"]
    found = find(f"kind: ConfigMap\n{text}".encode(), "f")
    assert [str(reference) for reference in found.references] == expected
    assert {finding.certainty for finding in found.findings} == {Certainty.LIKELY}
    assert found.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "kind: ClusterPolicy\nspec: {rules: [{validate: {foreach: [{pattern: {image: '*:*'}}, {pattern: {image: '!*:latest'}}]}}]}",
        "kind: ClusterPolicy\nspec: {validate: {pattern: {spec: {containers: [{image: 'registry.io/*'}]}}}}",
        "kind: CustomResourceDefinition\nspec: {x: {image: {default: 'quay.io/a/b:1', description: 'quay.io/a/b:2'}}}",
        "kind: X\nspec: {schema: {openAPIV3Schema: {properties: {image: {default: 'quay.io/a/b:1'}}}}}",
        "kind: ClusterRoleBinding\nmetadata: {name: 'system:openshift:scc:privileged'}\nroleRef: {name: 'a.b/c'}",
        "apiVersion: image.openshift.io/v1\nkind: StorageClass\nparameters: {imageFormat: '2', imageFeatures: layering}",
        "kind: Repository\nspec: {repository: 'https://github.com/a/b.git', tag: v1}",
        "kind: Repository\nspec: {repository: 'github.com/a/b', tag: v1}",
        "kind: Chart\ndependencies: [{name: redis, repository: 'https://charts.io/x', version: 1.2.3}]",
        POD + "  containers: [{env: [{name: IMAGE_PULL_POLICY, value: Always}, {name: IMAGE_TAG, value: v1.2},"
        "{name: IMAGE_REPOSITORY, value: quay.io/a/b}, {name: X_IMAGE, value: $(OTHER_IMAGE)}, {name: IMAGE, value: ''},"
        "{name: URL, value: 'http://a.b:80/c:1'}, {name: ADDR, value: 'a.b.svc:9090'}, {name: P, value: 'a.b:80/metrics'}]}]",
        POD + "  containers: [{args: ['--image-pull-progress-deadline=1m', '--v=2', '--image', '--x']}]",
        POD + "  containers: [{image: null}, {image: ''}, {name: no-image}, {image: auto}]",
        "kind: Pod\nstatus: {containerStatuses: [{image: 'quay.io/a/b:1', imageID: 'docker-pullable://quay.io/a/b@DIGEST'}]}",
        "kind: X\nspec: {logoImage: images/logo.png, image: {url: 'https://a.b/c.png'}, bootImage: 'http://a/b.iso'}",
        "kind: X\nmetadata: {annotations: {description: 'see quay.io/a/b:1', kubectl.kubernetes.io/last-applied-configuration: "
        "'{\"spec\": {\"containers\": [{\"image\": \"quay.io/a/b:1\"}]}}'}}",
        "kind: X\nspec: {image: dcgm, images: [], relatedImages: }",
        "kind: X\nspec: {description: 'Run docker pull quay.io/a/b:1'}",
        "kind: Secret\ndata: {image: cXVheS5pby9hL2I6MQ==}",
        "kind: ConfigMap\ndata: {rules: 'sum(rate(x{image!=\"\", job=~\"a/b:c\"}[5m]))'}",
        "kind: X\nspec: {cidr: 10.0.0.0/8, time: '12:30/13:00', path: /var/lib/image:ro, mount: 'data/x:/data/y:ro'}",
        "kind: ConfigMap\ndata:\n  fluent.conf: |\n    path /var/log/containers/*.log\n    tag kube.*\n    host a.b.svc:24224/x\n",
        "- a\n- b\n", "just text about an image\n", "",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_image_is_left_alone(text: str) -> None:
    assert images(text) == []


def test_a_finding_says_file_object_path_and_line() -> None:
    text = "---\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - image: nginx\n"
    place = find(text.encode(), "deploy/web.yaml").findings[0].place
    assert str(place) == "deploy/web.yaml:9 Deployment/web .spec.template.spec.containers[0].image"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_of_an_image_inside_values_inside_values_is_that_of_the_file(end: str) -> None:
    text = end.join(
        [
            "kind: ConfigMap",
            "metadata: {name: c}",
            "data:",
            "  a: |",
            "    x: 1",
            "    b: |",
            "      y: 1",
            "      z:",
            "        - image: quay.io/a/b:1",
            "  c: 'one",
            "",
            "    image: quay.io/c/d:1",
            "    '",
        ]
    )
    found = find(text.encode(), "f").findings
    assert [(f.written, f.place.line, f.place.path) for f in found] == [
        ("quay.io/a/b:1", 9, "ConfigMap/c .data.a .b .z[0].image"),
        ("quay.io/c/d:1", 12, "ConfigMap/c .data.c"),
    ]


def test_an_image_behind_an_alias_is_found_once_at_its_definition() -> None:
    text = POD + "  containers:\n  - image: &i quay.io/a/b:1\n  - image: *i\n  - {<<: &m {image: c:2}}\n  - {<<: *m}\n"
    assert images(text) == ["certain quay.io/a/b:1", "certain docker.io/library/c:2"]


def test_parts_of_one_image_are_not_images_themselves() -> None:
    found = find(b"kind: X\nspec: {image: quay.io/a/b, tag: '1.0'}", "f").findings
    assert [(f.written, f.shape) for f in found] == [("quay.io/a/b:1.0", "image+tag")]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("'{{ .Values.image }}'", "not rendered"),
        ("'{{inputs.parameters.image}}'", "filled in later"),
        ("Upper/Case", "lower case"),
        ("':'", "no tag"),
        ("$(IMAGE)", "cannot stand here"),
    ],
)
def test_a_container_whose_image_cannot_be_known_is_a_problem_with_its_place(image: str, reason: str) -> None:
    found = find(f"{POD}  containers:\n  - image: {image}\n".encode(), "f.yaml")
    assert found.findings == ()
    assert [str(problem.place) for problem in found.problems] == ["f.yaml:6 Pod/p .spec.containers[0].image"]
    assert reason in found.problems[0].reason


def test_a_document_that_does_not_parse_hides_no_other() -> None:
    text = f"{POD}  containers: [{{image: a}}]\n---\nkind: [image\n---\n{POD}  containers: [{{image: b}}]\n"
    found = find(text.encode(), "f.yaml")
    assert [finding.written for finding in found.findings] == ["a", "b"]
    assert [(problem.place.line, problem.place.source) for problem in found.problems] == [(8, "f.yaml")]


def test_every_spot_says_what_was_written() -> None:
    text = """
        kind: ConfigMap
        data:
          a: '{"x": "it''s", "image": "quay.io/a/b:1"}'
          b: "image: quay.io/c/d:2\\n# é\\nx: 1\\n"
          c: >
            image:
              quay.io/e/f:3
        """
    for item in occurrences(textwrap.dedent(text).encode(), "f").items:
        (piece,) = item.pieces
        edit = piece.spot.edit("r.local/x")
        assert textwrap.dedent(text)[edit.start : edit.end].strip('"') == item.finding.written


@given(st.text("imageREPO :/@.-\n{}[]'\"#|>&*!-=,0a", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    for form in (text, f"kind: Pod\nspec:\n  image: {text}", f"kind: ConfigMap\ndata:\n  a: {json.dumps(text)}"):
        found = find(form.encode(), "f")
        assert all(str(finding.reference) for finding in found.findings)
