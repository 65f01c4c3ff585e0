"""The names and shapes of the serving signature, which the graph, both engines and the V2 model share."""

from collections.abc import Mapping
from typing import Final

from pleura.findings import FINDINGS

SIZE_PX: Final = 224
MAP_SIZE: Final = 7
RADIOGRAPH: Final = "radiograph"
PROBABILITY: Final = "probability"
ACTIVATION_MAP: Final = "activation_map"
TYPICALITY: Final = "typicality"
ANSWER_SHAPES: Final[Mapping[str, tuple[int, ...]]] = {
    PROBABILITY: (len(FINDINGS),),
    ACTIVATION_MAP: (len(FINDINGS), MAP_SIZE, MAP_SIZE),
    TYPICALITY: (),
}
"""Shape of each output for one radiograph; all are float32."""
