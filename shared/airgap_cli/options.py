"""Flags: one way to declare them, and the groups that several verbs share.

A group is a dataclass whose fields are flags. A verb takes the group as one parameter, and `grouped` makes flags
of its fields, so that `images`, `pack` and `relocate` cannot drift apart.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from airgap import limits
from airgap.adapters.rendering import Rendering
from airgap.operations.sources import Sources

R = TypeVar("R")


def flag(*names: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    """A flag with an environment twin: `--ca-file` is also `AIRGAP_CA_FILE`."""
    long = next(name for name in names if name.startswith("--")).partition("/")[0]
    twin = "AIRGAP_" + re.sub(r"[^A-Z0-9]", "_", long.lstrip("-").upper())
    return typer.Option(*names, help=help, metavar=metavar, envvar=twin, show_envvar=False, **more)


def grouped(command: Callable[..., R]) -> Callable[..., R]:
    """Replace each parameter that is a group of flags by the flags of the group."""
    groups: dict[str, tuple[Any, dict[str, Any]]] = {}
    parameters: list[inspect.Parameter] = []
    hints = typing.get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        group = hints[parameter.name]
        if is_dataclass(group):
            members = _flags_of(group)
            groups[parameter.name] = (group, members)
            parameters.extend(members.values())
        else:
            parameters.append(parameter.replace(annotation=group, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def expanded(**given: Any) -> R:
        collected = {
            name: group(**{member: given.pop(member) for member in members})
            for name, (group, members) in groups.items()
        }
        return command(**collected, **given)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def _flags_of(group: Any) -> dict[str, inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    return {
        field.name: inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=_default(field),
        )
        for field in fields(group)
    }


def _default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is MISSING else field.default


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class ReportFormat(StrEnum):
    """What `--report` takes."""

    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, flag("-o", "--output", help="How to print the answer.", case_sensitive=False)]
Report = Annotated[
    ReportFormat | None,
    flag("--report", help="Print what was done with each image as data, on standard output.", case_sensitive=False),
]
KeepGoing = Annotated[
    bool, flag("--keep-going", help="Go on with the others when an image fails; exit with 5 and name each.")
]
BundlePlace = Annotated[
    str,
    typer.Argument(help="The bundle: a file, DIR/ or s3://BUCKET/PREFIX.", metavar="BUNDLE", show_default=False),
]
PipedBundlePlace = Annotated[
    str,
    typer.Argument(
        help="The bundle: a file, DIR/, s3://BUCKET/PREFIX, or - for standard input.",
        metavar="BUNDLE",
        show_default=False,
    ),
]
Quiet = Annotated[bool, flag("-q", "--quiet", help="No progress, no summary; errors only.")]
DryRun = Annotated[bool, flag("--dry-run", help="Say what would be done, and stop.")]
RuntimeAddress = Annotated[
    str, flag("--address", help="Socket of the container runtime, if not where it usually is.", metavar="SOCKET")
]
RuntimeNamespace = Annotated[
    str, flag("--containerd-namespace", help="Namespace of containerd, if not k8s.io.", metavar="NAME")
]
Concurrency = Annotated[
    int,
    flag(
        "-j", "--concurrency", help="Transfers at a time over all images.", min=1, max=limits.WORKERS_MOST, metavar="N"
    ),
]


@dataclass(frozen=True)
class SourceFlags:
    """Where images are looked for. The same flags in every verb that looks."""

    filename: Annotated[
        list[str] | None,
        flag("-f", "--filename", help="Manifest file, directory, or - for standard input; repeatable.", metavar="FILE"),
    ] = None
    recursive: Annotated[bool, flag("-R", "--recursive", help="Go into the directories below -f as well.")] = False
    chart: Annotated[
        list[str] | None,
        flag("--chart", help="Chart: a directory, .tgz, oci://… or REPO/NAME; repeatable.", metavar="CHART"),
    ] = None
    version: Annotated[str, flag("--version", help="Version of a chart that is fetched.", metavar="VERSION")] = ""
    values: Annotated[
        list[str] | None, flag("--values", help="Values file for the charts; repeatable.", metavar="FILE")
    ] = None
    set_: Annotated[
        list[str] | None, flag("--set", help="Value for the charts, as helm takes it; repeatable.", metavar="KEY=VALUE")
    ] = None
    namespace: Annotated[
        str, flag("-n", "--namespace", help="Namespace that charts are rendered for.", metavar="NAME")
    ] = ""
    kube_version: Annotated[
        str, flag("--kube-version", help="Kubernetes version that charts are rendered for.", metavar="VERSION")
    ] = ""
    api_versions: Annotated[
        list[str] | None,
        flag("--api-versions", help="Kubernetes API that charts may count on; repeatable.", metavar="GROUP/VERSION"),
    ] = None
    image: Annotated[list[str] | None, flag("--image", help="One image by name; repeatable.", metavar="REF")] = None
    images_file: Annotated[
        list[str] | None,
        flag("--images-file", help="File with one image a line, or - ; repeatable.", metavar="FILE"),
    ] = None


Mirror = Annotated[
    list[str] | None,
    flag(
        "--mirror",
        help="Where a source registry is really reached, such as docker.io=mirror.local/hub; repeatable.",
        metavar="HOST=MIRROR[/PREFIX]",
    ),
]


@dataclass(frozen=True)
class RegistryFlags:
    """How registries are reached. Passwords are never flags: log in with docker, podman or helm."""

    ca_file: Annotated[
        Path | None, flag("--ca-file", help="Certificates to trust besides the system's, as PEM.", metavar="FILE")
    ] = None
    plain_http: Annotated[
        list[str] | None,
        flag("--plain-http", help="Host to speak plain HTTP with (loopback needs none); repeatable.", metavar="HOST"),
    ] = None
    insecure_skip_tls_verify: Annotated[
        list[str] | None,
        flag(
            "--insecure-skip-tls-verify",
            help="Host whose certificate is not checked: anyone on the way can read and alter; repeatable.",
            metavar="HOST",
        ),
    ] = None
    rate: Annotated[
        str, flag("--rate", help="Bytes a second at most, all transfers together, such as 20MiB/s.", metavar="SIZE")
    ] = ""


Naming = Annotated[
    str,
    flag(
        "--naming",
        help="What becomes of the source's name: strip its host, keep it, flat, or group=NAME.",
        metavar="NAMING",
    ),
]
MaxDepth = Annotated[
    int,
    flag("--max-depth", help="Components of a path at most; more are joined with dashes. 0: any.", min=0, metavar="N"),
]


@dataclass(frozen=True)
class BucketFlags:
    """How bundles in buckets are reached. The login is the one that AWS tools find."""

    s3_endpoint: Annotated[
        str, flag("--s3-endpoint", help="URL of an S3 store that is not Amazon's, for s3://…", metavar="URL")
    ] = ""
    s3_profile: Annotated[
        str, flag("--s3-profile", help="Profile of ~/.aws/config to reach s3://… with.", metavar="NAME")
    ] = ""


@dataclass(frozen=True)
class TargetFlags:
    """Where images are, once they are inside."""

    to: Annotated[
        str, flag("--to", help="The registry inside, with a path if there is one.", metavar="HOST[:PORT][/PREFIX]")
    ] = ""
    lock: Annotated[
        Path | None, flag("--lock", help="What `push` wrote: where each image really is.", metavar="FILE")
    ] = None
    naming: Naming = "strip"
    max_depth: MaxDepth = 0


@dataclass(frozen=True)
class OutcomeFlags:
    """What a relocation does with its result."""

    diff: Annotated[bool, flag("--diff", help="Print the changes.")] = False
    check: Annotated[bool, flag("--check", help="Write nothing; exit with 5 if an image would stay outside.")] = False
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", help="Go on, and exit with 0, although an image stays outside.")
    ] = False
    dry_run: DryRun = False
    quiet: Quiet = False


def sources_of(flags: SourceFlags) -> Sources:
    """The core's form of `SourceFlags`."""
    return Sources(
        manifests=tuple(flags.filename or ()),
        recursive=flags.recursive,
        charts=tuple(flags.chart or ()),
        rendering=Rendering(
            version=flags.version,
            values=tuple(flags.values or ()),
            set=tuple(flags.set_ or ()),
            namespace=flags.namespace,
            kube_version=flags.kube_version,
            api_versions=tuple(flags.api_versions or ()),
        ),
        images=tuple(flags.image or ()),
        image_files=tuple(flags.images_file or ()),
    )
