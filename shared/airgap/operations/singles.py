"""Images without an index: they have one platform, which only their config tells."""

from __future__ import annotations

from airgap import limits, strictjson
from airgap.errors import InvalidManifest
from airgap.platforms import Platform
from airgap.stores import Source
from airgap.transfer.graph import Graph, Image


def platform_of(image: Image, graph: Graph, source: Source) -> Platform:
    """What an image without an index is made for.

    Raises:
        InvalidManifest: its config is too large, or no JSON.
    """
    config = graph.nodes[image.root.digest].manifest.children[0]
    if config.size > limits.MANIFEST:
        raise InvalidManifest(f"the config of `{image.reference}` is larger than {limits.MANIFEST} bytes")
    data = b"".join(source.blob(image.reference.name, config))
    value = strictjson.loads(data, f"the config of `{image.reference}`")
    return Platform.from_json(value if isinstance(value, dict) else {})
