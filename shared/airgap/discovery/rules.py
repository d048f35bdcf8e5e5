"""The places where people write images, as data; `manifests` and `strings` apply them.

Every set is the outcome of reading real charts and manifests; docs/architecture.md, "Finding images", tells the forms.
"""

from __future__ import annotations

import re
from typing import Final

# Lists whose members are containers of the Kubernetes API, at any depth: workloads, their templates, operators' CSVs.
CONTAINER_LISTS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
# What other APIs call a container: Argo (`container`, `script`, `sidecars`), Tekton (`steps`, `stepTemplate`).
CONTAINER_LIKE: Final = frozenset({"container", "script", "sidecars", "steps", "stepTemplate", "sidecar"})
# Values of `image` that name no image: Istio's injector puts its own in place of `auto`.
PLACEHOLDERS: Final = frozenset({"auto"})

ARGUMENT_LISTS: Final = frozenset({"args", "command"})
# A schema shows examples; a status repeats what is running; the rest is a copy of what stands elsewhere.
SKIPPED_KINDS: Final = frozenset({"CustomResourceDefinition", "Event", "EventList"})
SKIPPED_KEYS: Final = frozenset(
    {"openAPIV3Schema", "managedFields", "kubectl.kubernetes.io/last-applied-configuration"}
)
# Prose, in which an image is an example.
PROSE_KEYS: Final = frozenset(
    {"description", "message", "summary", "title", "notes", "help", "example", "comment", "displayName", "icon"}
)
# Words beside `image` in a name that say that its value is not the whole name of one.
PART_WORDS: Final = frozenset({
    "registry", "registries", "repo", "repository", "mirror", "prefix", "suffix", "tag", "version", "policy", "pull",
    "secret", "secrets", "password", "token", "key", "user", "username", "digest", "sha", "id", "format", "type",
    "path", "dir", "directory", "file", "stream", "size", "host", "namespace", "url", "uri",
})  # fmt: skip
NOT_IMAGE_SUFFIXES: Final = (
    ".png", ".jpg", ".jpeg", ".gif", ".svg", ".ico", ".webp", ".iso", ".img", ".qcow2", ".vmdk", ".raw", ".tar",
    ".git", ".yaml", ".yml", ".json", ".sh", ".conf",
)  # fmt: skip
NOT_REGISTRIES: Final = frozenset({"github.com", "gitlab.com", "bitbucket.org", "www.github.com"})

# Keys that make one image together, by what they hold.
REGISTRY_KEYS: Final = ("registry", "imageRegistry", "hub")
REPOSITORY_KEYS: Final = ("repository", "imageRepository", "repo")
IMAGE_KEYS: Final = ("image", "imageName")
TAG_KEYS: Final = ("tag", "imageTag", "version", "imageVersion")
DIGEST_KEYS: Final = ("digest", "sha", "imageDigest", "imageSHA")
PART_KEYS: Final = frozenset((*TAG_KEYS, *DIGEST_KEYS))

WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# A name with a host, then a tag or a digest or both; where one stands in a longer text, its surroundings end it.
FULL = re.compile(
    r"(?<![\w./:@%$}{\\-])"
    r"[A-Za-z0-9][A-Za-z0-9.-]*+(?::[0-9]{1,5})?(?:/[a-z0-9][a-z0-9._-]*+)++"
    r"(?::[A-Za-z0-9_][\w.-]{0,127}+|(?=@sha))(?:@sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128}))?(?![\w/:@])"
)
# `image: x`, `"someImage": "x"`, `FOO_IMAGE=x`, on a line of its own or in JSON; whether the key speaks of an image is
# asked of each match, because a pattern that looks for it takes quadratic time on a long word.
KEYED_LINE = re.compile(
    r"""(?<![\w.-])(?P<key>[\w.-]++)["']?[ \t]*+[:=][ \t]*+["']?(?P<value>[A-Za-z0-9][\w./:@-]*+)(?=["'\s,}\]]|\Z)"""
)
COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)
FLAG = re.compile(r"--?(?P<name>[\w.-]+)(?:=(?P<value>[\s\S]*))?")
# A document that holds no image, seen before it is read: schemas are most of the bytes of many manifests.
SCHEMA = re.compile(r"^kind:[ \t]*[\"']?CustomResourceDefinition\b", re.MULTILINE)
# Parts of one name in a text that has to be read to be understood.
PARTS = re.compile(r"""\b(?:hub|repository|registry|image)["']?[ \t]*:""")
TEMPLATE: Final = "{{"
