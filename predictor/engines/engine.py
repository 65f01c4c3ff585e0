"""Interface between the predictor and the runtimes that run the graph."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pleura.contract import ACTIVATION_MAP, DISTANCE, INPUT_CHECK, PROBABILITY, TYPICALITY

LITERT_FILE: Final = "model.tflite"
SAVED_MODEL_FOLDER: Final = "saved_model"
SIGNATURE: Final = "serving_default"
EngineKind = Literal["litert", "openvino", "tensorflow"]
Radiographs = NDArray[np.uint8]


@dataclass(frozen=True)
class GraphOutputs:
    """The unchecked float32 outputs of the graph for N radiographs.

    ``distance`` (N, 1) and ``input_check`` (N, 4) are None where the model has no input check.
    """

    probability: NDArray[np.float32]
    activation_map: NDArray[np.float32]
    typicality: NDArray[np.float32]
    distance: NDArray[np.float32] | None = None
    input_check: NDArray[np.float32] | None = None

    @classmethod
    def from_names(cls, arrays: Mapping[Any, Any]) -> "GraphOutputs":
        """Take the outputs from arrays by name.

        Raises:
            KeyError: An output is missing.
        """
        required = (PROBABILITY, ACTIVATION_MAP, TYPICALITY)
        names = (*required, DISTANCE, INPUT_CHECK) if INPUT_CHECK in arrays else required
        return cls(*(np.asarray(arrays[name], np.float32) for name in names))

    def rows(self, start: int, stop: int) -> "GraphOutputs":
        """Return the outputs of the radiographs from ``start`` up to ``stop``."""
        return GraphOutputs(**{name: array[start:stop] for name, array in self.arrays.items()})

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The outputs that the graph has, by the name of their field."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in found.items() if array is not None}


def concatenate_outputs(parts: list[GraphOutputs]) -> GraphOutputs:
    """Join the outputs of several runs, in order."""
    arrays = [part.arrays for part in parts]
    return GraphOutputs(**{name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]})


class Engine(Protocol):
    """A runtime that has loaded the graph. One thread at a time calls it."""

    @property
    def max_batch(self) -> int | None:
        """The largest batch that one run gains from; None for any."""
        ...

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        ...


def open_engine(kind: EngineKind, bundle: Path, threads: int) -> Engine:
    """Load a bundle's graph into an engine.

    Args:
        kind: The runtime; an image holds only one of them, so the other modules are not imported.
        bundle: Folder of the model bundle.
        threads: Threads that the engine computes on.

    Raises:
        ImportError: The runtime is not installed.
    """
    # the default: twice as fast as tf.function, in 330 MB (docs/decisions/0001)
    if kind == "litert":
        from predictor.engines.litert import LiteRtEngine

        return LiteRtEngine(bundle, threads)
    # a fifth to a third more answers on Intel's AVX-512, in 480 MB (docs/decisions/0002)
    if kind == "openvino":
        from predictor.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(bundle, threads)
    from predictor.engines.tensorflow import TensorFlowEngine, limit_threads

    limit_threads(threads)
    return TensorFlowEngine(bundle)
