"""What a decoder process gives for a file, and its form on the socket: the tensor, then a JSON document."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from pleura.contract import SIZE_PX
from pleura.identifiers import NO_IDENTIFIERS, Identifiers
from pleura.radiograph.observations import RadiographObservation, observations_from_json, observations_to_json

_TENSOR_BYTES: Final = SIZE_PX * SIZE_PX


@dataclass(frozen=True, eq=False)
class DecodedRadiograph:
    """A radiograph as the predictor takes it, uint8, (224, 224), and what was noticed about its file.

    ``identifiers`` are those of its header.
    """

    tensor: NDArray[np.uint8]
    observations: tuple[RadiographObservation, ...] = ()
    identifiers: Identifiers = NO_IDENTIFIERS


def write_decoded(decoded: DecodedRadiograph) -> bytes:
    """Write a decoded radiograph as bytes."""
    document = {
        "observations": observations_to_json(decoded.observations),
        "identifiers": asdict(decoded.identifiers),
    }
    return decoded.tensor.tobytes() + orjson.dumps(document)


def read_decoded(body: bytes) -> DecodedRadiograph:
    """Read what ``write_decoded`` writes."""
    tensor = np.frombuffer(body, np.uint8, _TENSOR_BYTES).reshape(SIZE_PX, SIZE_PX)
    document: Mapping[str, Any] = orjson.loads(body[_TENSOR_BYTES:])
    observations = observations_from_json(document["observations"])
    return DecodedRadiograph(tensor, observations, Identifiers(**document["identifiers"]))
