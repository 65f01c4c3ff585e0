"""The content of an overlay in its form on the way to a decoder process, which draws it: JSON."""

from dataclasses import asdict

import numpy as np
import orjson

from pleura.classification import Finding, OverlayContent


def write_overlay_content(content: OverlayContent) -> bytes:
    """Write the content as bytes."""
    return orjson.dumps(asdict(content), option=orjson.OPT_SERIALIZE_NUMPY)


def read_overlay_content(body: bytes) -> OverlayContent:
    """Read what ``write_overlay_content`` writes."""
    document = orjson.loads(body)
    return OverlayContent(
        tuple(Finding(**finding) for finding in document["findings"]),
        Finding(**document["shown"]),
        np.array(document["activation"], np.float32),
        document["typicality"],
        document["model_version"],
        tuple(document["warnings"]),
    )
