"""OpenVINO: runs LiteRT's graph, faster on Intel's CPUs with AVX-512, in more memory."""

import sys
from pathlib import Path
from typing import Final

from pleura.contract import GRAPH_OUTPUT_SHAPES, INPUT_CHECK_SHAPES
from predictor.engines.engine import LITERT_FILE, GraphOutputs, Radiographs, concatenate_outputs

_NAME_BY_SHAPE: Final = {shape: name for name, shape in {**GRAPH_OUTPUT_SHAPES, **INPUT_CHECK_SHAPES}.items()}
"""OpenVINO loses the names of the graph's outputs, but their shapes differ."""


class OpenVinoEngine:
    """OpenVINO on the CPU in float32, one radiograph after the other."""

    max_batch: Final = 1

    def __init__(self, bundle: Path, threads: int) -> None:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # its import calls Intel
        import openvino  # not installed in every image

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # with AMX the default is bfloat16: other probabilities
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_HYPER_THREADING": True,  # the default uses one thread for each physical core
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # pinning puts all engines on the first core
        }
        try:
            compiled = core.compile_model(core.read_model(bundle / LITERT_FILE), "CPU", settings)
        except RuntimeError as error:  # its last line holds the reason, the lines before the place
            raise ValueError(str(error).strip().splitlines()[-1]) from error
        self._request = compiled.create_infer_request()

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        return concatenate_outputs([self._run_one(radiographs[i : i + 1]) for i in range(len(radiographs))])

    def _run_one(self, radiograph: Radiographs) -> GraphOutputs:
        arrays = self._request.infer([radiograph]).to_tuple()
        return GraphOutputs.from_names({_NAME_BY_SHAPE.get(array.shape[1:]): array for array in arrays})
