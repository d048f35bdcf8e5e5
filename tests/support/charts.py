"""Made-up charts, one for each form in which real charts write images. Valid unless a test says otherwise."""

# ruff: noqa: E501 - templates are written as their authors write them

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

DIGEST = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class Made:
    """A chart to be written.

    Attributes:
        images: what its default rendering needs.
        declared: what only its values name.
        values_alone: whether values alone can move all of it.
    """

    values: str
    templates: Mapping[str, str]
    images: tuple[str, ...]
    declared: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    meta: str = ""
    values_alone: bool = True
    packed: tuple[str, ...] = ()  # sub-charts among `files` that are archives

    def write(self, root: Path, name: str = "made") -> Path:
        """The chart as a directory below `root`."""
        folder = root / name
        files = {
            "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: 9.8.7\n{dedent(self.meta)}",
            "values.yaml": dedent(self.values),
            **{f"templates/{path}": dedent(text) for path, text in self.templates.items()},
            **{path: dedent(text) for path, text in self.files.items()},
        }
        for inner in self.packed:
            start = f"charts/{inner}/"
            mine = {
                f"{inner}/{path.removeprefix(start)}": text for path, text in files.items() if path.startswith(start)
            }
            files = {path: text for path, text in files.items() if not path.startswith(start)}
            place = folder / "charts" / f"{inner}-0.1.0.tgz"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive(mine))
        for path, text in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode())
        return folder


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A .tgz as other tools make them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def pod(*images: str, more: str = "") -> str:
    """A template of a pod with these images; `more` are further keys of its first container."""
    containers = "".join(f'    - name: c{index}\n      image: "{image}"\n' for index, image in enumerate(images))
    extra = "".join(f"      {line}\n" for line in dedent(more).strip("\n").split("\n")) if more else ""
    return f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n{containers}{extra}"


def guarded(template: str, condition: str) -> str:
    """A template that renders only where a value says so."""
    return f"{{{{- if .Values.{condition} }}}}\n{template}{{{{- end }}}}\n"


def _sub(name: str, values: str, *images: str) -> dict[str, str]:
    return {
        f"charts/{name}/Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: 0.1.0\nappVersion: 5.5.5\n",
        f"charts/{name}/values.yaml": values,
        f"charts/{name}/templates/pod.yaml": pod(*images).replace("name: p", "name: {{ .Chart.Name }}-sub"),
    }


_IMAGE_HELPER = """
{{- define "image" -}}
{{- $registry := .image.registry | default .global.imageRegistry -}}
{{- printf "%s/%s:%s" $registry .image.repository (.image.tag | toString) -}}
{{- end -}}
"""

FORMS: dict[str, Made] = {
    "registry-repository-tag": Made(
        """
        # the image
        image:
          registry: quay.io   # where from
          repository: acme/app
          tag: "1.10"
        """,
        {"pod.yaml": pod("{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}")},
        ("quay.io/acme/app:1.10",),
    ),
    "digest-without-its-algorithm": Made(
        f"image: {{registry: quay.io, repository: acme/app, tag: v1, sha: {DIGEST.removeprefix('sha256:')}}}\n",
        {
            "pod.yaml": pod(
                "{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"
                "@sha256:{{ .Values.image.sha }}"
            )
        },
        (f"quay.io/acme/app:v1@{DIGEST}",),
    ),
    "empty-tag-is-the-version": Made(
        "image: {repository: quay.io/acme/app, tag: ''}\n",
        {"pod.yaml": pod("{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}")},
        ("quay.io/acme/app:9.8.7",),
    ),
    "null-registry-with-a-default": Made(
        """
        defaultRegistry: quay.io
        image:
          registry: ~
          repository: acme/app
          tag: v1
        """,
        {
            "pod.yaml": pod(
                "{{ .Values.image.registry | default .Values.defaultRegistry }}/{{ .Values.image.repository }}:v1"
            )
        },
        ("quay.io/acme/app:v1",),
    ),
    "name-only-in-a-helper": Made(
        """
        image:
          registry:
          repository: ""
        """,
        {
            "_helpers.tpl": '{{- define "img" -}}{{ .Values.image.registry | default "quay.io" }}/'
            '{{ .Values.image.repository | default "acme/app" }}:v1{{- end -}}\n',
            "pod.yaml": pod('{{ include "img" . }}'),
        },
        ("quay.io/acme/app:v1",),
    ),
    "registry-fixed-in-the-template": Made(
        "image: {repository: acme/app, registry: ''}\n",
        {
            "pod.yaml": pod(
                '{{ if .Values.image.registry }}{{ .Values.image.registry }}{{ else }}docker.io{{ end }}/'
                "{{ .Values.image.repository }}:v1"
            )
        },
        ("docker.io/acme/app:v1",),
    ),
    "key-called-image-and-global-registry": Made(
        """
        global: {image: {registry: registry.example.org}}
        controller:
          image:
            image: ingress/controller
            tag: v1
        """,
        {
            "pod.yaml": pod(
                "{{ .Values.global.image.registry }}/{{ .Values.controller.image.image }}:{{ .Values.controller.image.tag }}"
            )
        },
        ("registry.example.org/ingress/controller:v1",),
    ),
    "custom-resource-of-three-keys": Made(
        """
        driver:
          repository: nvcr.example.io/acme
          image: driver
          version: "580.1"
        """,
        {
            "policy.yaml": """
            apiVersion: acme.example/v1
            kind: ClusterPolicy
            metadata: {name: p}
            spec:
              driver:
                repository: {{ .Values.driver.repository }}
                image: {{ .Values.driver.image }}
                version: {{ .Values.driver.version | quote }}
            """
        },
        ("nvcr.example.io/acme/driver:580.1",),
    ),
    "name-and-tag": Made(
        "hub: {image: {name: quay.io/acme/hub, tag: 4.4.0}}\nplugins: [{name: NodeName, weight: 1}]\n",
        {"pod.yaml": pod("{{ .Values.hub.image.name }}:{{ .Values.hub.image.tag }}")},
        ("quay.io/acme/hub:4.4.0",),
    ),
    "image-and-image-tag": Made(
        'image: "docker.example.co/elastic/search"\nimageTag: "8.5.1"\n',
        {"pod.yaml": pod("{{ .Values.image }}:{{ .Values.imageTag }}")},
        ("docker.example.co/elastic/search:8.5.1",),
    ),
    "hub-and-variant": Made(
        "global:\n  hub: docker.io/mesh\n  tag: 1.30.3\n  variant: distroless\nimage: pilot\n",
        {
            "pod.yaml": pod(
                '{{ if contains "/" .Values.image }}{{ .Values.image }}{{ else }}'
                "{{ .Values.global.hub }}/{{ .Values.image }}:{{ .Values.global.tag }}-{{ .Values.global.variant }}{{ end }}"
            )
        },
        ("docker.io/mesh/pilot:1.30.3-distroless",),
    ),
    "registry-namespace-name": Made(
        "imageRegistry: quay.io\nimageNamespace: acme\nimage: {name: one, tag: v1}\nwebhook: {image: {name: two}}\n",
        {
            "pod.yaml": pod(
                "{{ .Values.imageRegistry }}/{{ .Values.imageNamespace }}/{{ .Values.image.name }}:v1",
                "{{ .Values.imageRegistry }}/{{ .Values.imageNamespace }}/{{ .Values.webhook.image.name }}:v1",
            )
        },
        ("quay.io/acme/one:v1", "quay.io/acme/two:v1"),
    ),
    "one-registry-for-many": Made(
        """
        defaultImageRegistry: quay.io
        defaultImageRepository: strim
        kafka: {image: {registry: "", repository: "", name: kafka}}
        """,
        {
            "pod.yaml": pod(
                "{{ .Values.defaultImageRegistry }}/{{ .Values.defaultImageRepository }}/operator:1.2.0",
                more="""
                env:
                  - name: KAFKA_IMAGES
                    value: |
                      {{- range list "4.2.0" "4.3.0" }}
                      {{ . }}={{ $.Values.kafka.image.registry | default $.Values.defaultImageRegistry }}/{{ $.Values.kafka.image.repository | default $.Values.defaultImageRepository }}/{{ $.Values.kafka.image.name }}:1-{{ . }}
                      {{- end }}
                """,
            )
        },
        ("quay.io/strim/operator:1.2.0", "quay.io/strim/kafka:1-4.2.0", "quay.io/strim/kafka:1-4.3.0"),
    ),
    "base-and-path": Made(
        """
        image:
          baseRepo: registry.example.io
          nfs: {repository: /storage/nfs, tag: v4}
          other: {repository: gcr.example.io/storage/other, tag: v2}
        """,
        {
            "_h.tpl": '{{- define "r" -}}{{ if hasPrefix "/" .r }}{{ .b }}{{ end }}{{ .r }}{{- end -}}\n',
            "pod.yaml": pod(
                '{{ include "r" (dict "b" .Values.image.baseRepo "r" .Values.image.nfs.repository) }}:v4',
                '{{ include "r" (dict "b" .Values.image.baseRepo "r" .Values.image.other.repository) }}:v2',
            ),
        },
        ("registry.example.io/storage/nfs:v4", "gcr.example.io/storage/other:v2"),
    ),
    "suffix-behind-the-repository": Made(
        f"operator: {{image: {{repository: quay.io/acme/operator, tag: v1, genericDigest: '{DIGEST}'}}}}\n",
        {
            "pod.yaml": pod(
                "{{ .Values.operator.image.repository }}-generic:{{ .Values.operator.image.tag }}"
                "@{{ .Values.operator.image.genericDigest }}"
            )
        },
        (f"quay.io/acme/operator-generic:v1@{DIGEST}",),
    ),
    "tag-that-is-a-digest": Made(
        f'pruner: {{image: {{repository: ghcr.example.io/acme/tkn, tag: "{DIGEST}"}}}}\n',
        {"pod.yaml": pod("{{ .Values.pruner.image.repository }}@{{ .Values.pruner.image.tag }}")},
        (f"ghcr.example.io/acme/tkn@{DIGEST}",),
    ),
    "registry-with-a-path": Made(
        "sysctlImage: {registry: public.example.aws/docker/library, repository: busybox, tag: v1}\n",
        {"pod.yaml": pod("{{ .Values.sysctlImage.registry }}/{{ .Values.sysctlImage.repository }}:v1")},
        ("public.example.aws/docker/library/busybox:v1",),
    ),
    "one-string": Made(
        "helmTester: 'us-docker.example.dev/test/e2e:v2026'\nrepository: https://git.example.org/charts\n",
        {"pod.yaml": pod("{{ .Values.helmTester }}", more="env: [{name: GIT, value: '{{ .Values.repository }}'}]")},
        ("us-docker.example.dev/test/e2e:v2026",),
    ),
    "short-names-of-docker-hub": Made(
        "a: {image: {repository: busybox, tag: '1'}}\nb: {image: {registry: docker.io, repository: redis, tag: '7'}}\n",
        {
            "pod.yaml": pod(
                "{{ .Values.a.image.repository }}:{{ .Values.a.image.tag }}",
                "{{ .Values.b.image.registry }}/{{ .Values.b.image.repository }}:{{ .Values.b.image.tag }}",
            )
        },
        ("busybox:1", "docker.io/redis:7"),
    ),
    "flag-and-variable": Made(
        "config: {reloaderImage: {registry: quay.io, repository: acme/reloader, tag: v1}, builder: quay.io/acme/maven:3}\n",
        {
            "pod.yaml": pod(
                "quay.io/acme/fixed:v0",
                more="""
                args:
                  - --config-reloader={{ .Values.config.reloaderImage.registry }}/{{ .Values.config.reloaderImage.repository }}:v1
                env:
                  - name: DEFAULT_MAVEN_BUILDER
                    value: {{ .Values.config.builder }}
                """,
            )
        },
        ("quay.io/acme/fixed:v0", "quay.io/acme/reloader:v1", "quay.io/acme/maven:3"),
        values_alone=False,
    ),
    "hard-coded-in-a-file": Made(
        "sidecar: {image: quay.io/acme/sidecar:v1}\n",
        {
            "cm.yaml": """
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: c}
            data:
              pod.yaml: |
            {{ tpl (.Files.Get "files/pod.yaml") . | indent 4 }}
            """
        },
        ("quay.io/acme/sidecar:v1", "busybox:1.28"),
        files={
            "files/pod.yaml": """\
            apiVersion: v1
            kind: Pod
            metadata: {name: q}
            spec:
              containers:
                - {name: a, image: "{{ .Values.sidecar.image }}"}
                - {name: b, image: busybox:1.28}   # never mind busybox:1.280
            """
        },
        values_alone=False,
    ),
    "host-fixed-in-a-helper": Made(
        "repository: acme/app\n",
        {
            "_h.tpl": '{{- define "i" -}}{{ printf "%s/%s:v1" "ghcr.example.io" .Values.repository }}{{- end -}}\n',
            "pod.yaml": pod('{{ include "i" . }}'),
        },
        ("ghcr.example.io/acme/app:v1",),
        values_alone=False,
    ),
    "anchors": Made(
        """
        base: &base
          registry: quay.io
          pullPolicy: Always
        one: {image: {<<: *base, repository: acme/one, tag: v1}}
        two:
          image:
            <<: *base
            repository: acme/two
            tag: v2
        """,
        {
            "pod.yaml": pod(
                "{{ .Values.one.image.registry }}/{{ .Values.one.image.repository }}:v1",
                "{{ .Values.two.image.registry }}/{{ .Values.two.image.repository }}:v2",
            )
        },
        ("quay.io/acme/one:v1", "quay.io/acme/two:v2"),
    ),
    "images-in-a-list": Made(
        "sidecars:\n  - name: a\n    weight: 1.50\n    image: quay.io/acme/a:v1\n  - name: b\n    image: quay.io/acme/b:v1\n",
        {"pod.yaml": pod("{{ (index .Values.sidecars 0).image }}", "{{ (index .Values.sidecars 1).image }}")},
        ("quay.io/acme/a:v1", "quay.io/acme/b:v1"),
    ),
    "switched-off": Made(
        """
        image: {repository: quay.io/acme/app, tag: v1}
        metrics:
          enabled: false
          image: {repository: quay.io/acme/exporter, tag: v2}
        tls: {mode: none, image: {repository: quay.io/acme/tls, tag: v3}}
        """,
        {
            "pod.yaml": pod("{{ .Values.image.repository }}:v1"),
            "metrics.yaml": guarded(
                pod("{{ .Values.metrics.image.repository }}:{{ .Values.metrics.image.tag }}").replace(
                    "name: p", "name: m"
                ),
                "metrics.enabled",
            ),
            "tls.yaml": '{{- if eq .Values.tls.mode "auto" }}\n' + pod("{{ .Values.tls.image.repository }}:v3") + "{{- end }}\n",
        },
        ("quay.io/acme/app:v1",),
        ("quay.io/acme/exporter:v2", "quay.io/acme/tls:v3"),
    ),
    "sub-charts": Made(
        """
        # settings of the parent
        redis:
          replicas: 2   # two
        image: quay.io/acme/app:v1
        """,
        {"pod.yaml": pod("{{ .Values.image }}")},
        ("quay.io/acme/app:v1", "quay.io/acme/redis:v1", "quay.io/acme/cache:v2"),
        files={
            **_sub("redis", "image:\n  registry: quay.io\n  repository: acme/redis\n", "{{ .Values.image.registry }}/{{ .Values.image.repository }}:v1"),
            **_sub("cache", "image: quay.io/acme/cache\ntag: v2\n", "{{ .Values.image }}:{{ .Values.tag }}"),
        },
        packed=("cache",),
    ),
    "alias-and-condition": Made(
        "second: {enabled: false}\n",
        {"pod.yaml": pod("quay.io/acme/app:v1")},
        ("quay.io/acme/app:v1", "quay.io/acme/db:5.5.5"),
        files=_sub("db", "image: {repository: quay.io/acme/db, tag: ''}\n", "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"),
        meta="""
        dependencies:
          - {name: db, version: 0.1.0, alias: first}
          - {name: db, version: 0.1.0, alias: second, condition: second.enabled}
        """,
        values_alone=False,
    ),
    "global-registry-beaten-by-a-local-one": Made(
        """
        global: {imageRegistry: ""}
        one: {registry: quay.io, repository: acme/one, tag: v1}
        two: {registry: ~, repository: acme/two, tag: v1}
        """,
        {
            "_h.tpl": _IMAGE_HELPER.replace(".global.imageRegistry", '(.global.imageRegistry | default "docker.io")'),
            "pod.yaml": pod(
                '{{ include "image" (dict "image" .Values.one "global" .Values.global) }}',
                '{{ include "image" (dict "image" .Values.two "global" .Values.global) }}',
            ),
        },
        ("quay.io/acme/one:v1", "docker.io/acme/two:v1"),
    ),
    "strict-schema": Made(
        "image: {registry: quay.io, repository: acme/app, tag: v1}\nmode: one\n",
        {"pod.yaml": pod("{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}")},
        ("quay.io/acme/app:v1",),
        files={
            "values.schema.json": '{"type": "object", "additionalProperties": false, "properties": {"image": {"type": '
            '"object", "additionalProperties": false, "properties": {"registry": {"type": "string", "minLength": 1}, '
            '"repository": {"type": "string"}, "tag": {"type": "string"}}}, "mode": {"enum": ["one", "two"]}}}\n'
        },
    ),
    "refuses-other-images": Made(
        """
        global:
          security:
            allowInsecureImages: false
        image:
          registry: docker.io
          repository: acme/app
          tag: v1
        """,
        {
            "guard.yaml": '{{- if and (not .Values.global.security.allowInsecureImages) (ne .Values.image.registry "docker.io") }}'
            '{{ fail "unrecognized images" }}{{ end }}\n',
            "pod.yaml": pod("{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"),
        },
        ("docker.io/acme/app:v1",),
    ),
    "one-value-bears-no-mark": Made(
        "image: {repository: quay.io/acme/app, tag: v1}\nbackend: {image: {registry: quay.io, repository: store, tag: v2}}\n",
        {
            "guard.yaml": '{{- if ne .Values.backend.image.repository "store" }}{{ fail "only store" }}{{ end }}\n',
            "pod.yaml": pod(
                "{{ .Values.image.repository }}:{{ .Values.image.tag }}",
                "{{ .Values.backend.image.registry }}/{{ .Values.backend.image.repository }}:v2",
            ),
        },
        ("quay.io/acme/app:v1", "quay.io/store:v2"),
    ),
    "list-of-images-in-chart-yaml": Made(
        "image: quay.io/acme/app:v1\n",
        {"pod.yaml": pod("{{ .Values.image }}")},
        ("quay.io/acme/app:v1",),
        ("quay.io/acme/extra:v7",),
        meta="""
        annotations:
          images: |
            - name: app
              image: quay.io/acme/app:v1
            - name: extra   # used by hand
              image: quay.io/acme/extra:v7
        """,
    ),
    "texts-that-are-no-images": Made(
        """
        image: quay.io/acme/app:v1
        artifactRepository: {s3: {bucket: b}}
        imagePullPolicy: IfNotPresent
        repository: https://git.example.org/a.git
        match: {image: "*:*"}
        imageFormat: "2"
        """,
        {
            "pod.yaml": pod("{{ .Values.image }}", more="imagePullPolicy: {{ .Values.imagePullPolicy }}"),
            "sc.yaml": 'apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: s}\nprovisioner: x\nparameters: {imageFormat: "{{ .Values.imageFormat }}"}\n',
        },
        ("quay.io/acme/app:v1",),
    ),
}  # fmt: skip
