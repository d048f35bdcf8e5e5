"""What `docker save` writes, with whatever a test wants changed in it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airgap.descriptors import Descriptor
from airgap.stores.saved import SavedImages


def member(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar_of(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYER = b"a layer, uncompressed"
CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": [Descriptor.of(LAYER, "-").digest]}}).encode()
ENTRY = {"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["l/layer.tar"]}


def archive(*, config: bytes = CONFIG, listed: Any = None, more: Iterable[tuple[tarfile.TarInfo, bytes]] = ()) -> bytes:
    """What docker up to 24 writes, with one thing changed."""
    document = json.dumps([ENTRY] if listed is None else listed).encode()
    members = [member("l", type=tarfile.DIRTYPE), member("l/VERSION", b"1.0"), member("l/layer.tar", LAYER)]
    return tar_of([*members, member("c.json", config), *more, member("manifest.json", document)])


def saved(data: bytes, directory: Path) -> SavedImages:
    return SavedImages([data[at : at + 700] for at in range(0, len(data), 700)], directory, "docker")
