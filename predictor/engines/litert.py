"""LiteRT: runs the folded graph on CPUs."""

from pathlib import Path
from typing import Any, Final

from pleura.contract import RADIOGRAPH
from predictor.engines.engine import LITERT_FILE, SIGNATURE, GraphOutputs, Radiographs, concatenate_outputs


class LiteRtEngine:
    """TensorFlow Lite with XNNPACK, one radiograph after the other."""

    # a larger batch gains nothing, and another batch size makes XNNPACK plan again (docs/decisions/0003)
    max_batch: Final = 1

    def __init__(self, bundle: Path, threads: int) -> None:
        self._run = _open_signature(bundle, threads)

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        batches = (radiographs[i : i + 1] for i in range(len(radiographs)))
        outputs = [self._run(**{RADIOGRAPH: batch}) for batch in batches]
        return concatenate_outputs([GraphOutputs.from_names(arrays) for arrays in outputs])


def read_input_shape(bundle: Path) -> tuple[int, ...]:
    """Read the shape of one radiograph that a bundle's graph takes: (rows, columns, channels)."""
    inputs = _open_signature(bundle, None).get_input_details()
    return tuple(int(length) for length in inputs[RADIOGRAPH]["shape"][1:])


def _open_signature(bundle: Path, threads: int | None) -> Any:
    from ai_edge_litert.interpreter import Interpreter  # not installed in every image

    return Interpreter(str(bundle / LITERT_FILE), num_threads=threads).get_signature_runner(SIGNATURE)
