"""Operating systems and processors, in the words of the OCI image index and in everybody else's."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airgap.errors import InvalidInput

_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv8": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "i386": "386",
    "i686": "386",
}
_VARIANTS: Final = {"amd64": "v1", "arm": "v7", "arm64": "v8"}  # what containerd takes an unnamed variant for
_VERSION: Final = re.compile(r"(?P<os>[^()]*)\((?P<version>[0-9]+(?:\.[0-9]+)*)\)")
_KNOWN_OS: Final = frozenset({"linux", "windows", "darwin", "freebsd", "wasip1", "unknown"})


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform of an image, as in image-spec `image-index.md`, and as containerd writes it.

    `linux/amd64`, `linux/arm/v7`, `windows(10.0.20348)/amd64`.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `OS[(VERSION)]/ARCH[/VARIANT]`; `x86_64` and `aarch64` are understood, a lone architecture means Linux.

        Raises:
            InvalidInput: not of that form.
        """
        parts = text.strip().lower().split("/")
        if len(parts) == 1 and (parts[0] in _ARCHITECTURES or parts[0] in _ARCHITECTURES.values()):
            parts = ["linux", parts[0]]
        match = _VERSION.fullmatch(parts[0])
        system, version = match.group("os", "version") if match else (parts[0], "")
        if len(parts) not in (2, 3) or not all(parts) or system not in _KNOWN_OS:
            raise InvalidInput(f"{text!r} is no platform", hint="write it as `linux/amd64` or `linux/arm/v7`")
        architecture = _ARCHITECTURES.get(parts[1], parts[1])
        return cls(system, architecture, parts[2] if len(parts) == 3 else "", version)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Platform:
        """Read the `platform` object of a descriptor, or an image config, which has the same keys."""
        keys = ("os", "architecture", "variant", "os.version")
        return cls(*(str(value.get(key) or "") for key in keys))

    @classmethod
    def host(cls) -> Platform:
        """The platform of this machine, with Linux in place of what cannot run Linux images itself."""
        machine = os.uname().machine if sys.platform != "win32" else "x86_64"
        return cls("linux", _ARCHITECTURES.get(machine.lower(), machine.lower()))

    @property
    def is_attestation(self) -> bool:
        """BuildKit lists attestations as children with the platform `unknown/unknown`."""
        return self.os == "unknown" and self.architecture == "unknown"

    def covers(self, other: Platform) -> bool:
        """Whether asking for `self` should bring `other`: a variant or version that is not named matches any."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        if not f"{other.os_version}.".startswith(f"{self.os_version}." if self.os_version else ""):
            return False
        return self.variant in ("", other.variant or _VARIANTS.get(self.architecture, ""))

    def __str__(self) -> str:
        system = f"{self.os}({self.os_version})" if self.os_version else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)
