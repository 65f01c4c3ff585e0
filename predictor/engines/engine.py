"""Ways to run the graph behind one seam: LiteRT or OpenVINO on CPUs, TensorFlow as reference and on GPUs."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pleura.contract import ACTIVATION_MAP, PROBABILITY, RADIOGRAPH, TYPICALITY

LITERT_FILE: Final = "model.tflite"
SAVED_MODEL_FOLDER: Final = "saved_model"
SIGNATURE: Final = "serving_default"
EngineKind = Literal["litert", "openvino", "tensorflow"]
Radiographs = NDArray[np.uint8]


@dataclass(frozen=True)
class GraphOutputs:
    """What the graph says of N radiographs, as it says it: unchecked float32 arrays."""

    probability: NDArray[np.float32]
    activation_map: NDArray[np.float32]
    typicality: NDArray[np.float32]

    @classmethod
    def of(cls, named: Mapping[Any, Any]) -> "GraphOutputs":
        """Take the outputs from what a signature answers."""
        names = (PROBABILITY, ACTIVATION_MAP, TYPICALITY)
        return cls(*(np.asarray(named[name], np.float32) for name in names))

    def rows(self, start: int, stop: int) -> "GraphOutputs":
        """The outputs of some of the radiographs."""
        return GraphOutputs(
            self.probability[start:stop], self.activation_map[start:stop], self.typicality[start:stop]
        )


def concatenate_outputs(parts: list[GraphOutputs]) -> GraphOutputs:
    """Put the outputs of several runs behind each other."""
    return GraphOutputs(
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.activation_map for part in parts]),
        np.concatenate([part.typicality for part in parts]),
    )


class Engine(Protocol):
    """Something that runs the graph; called by one thread at a time."""

    @property
    def most_at_once(self) -> int | None:
        """The largest batch that pays; None where none is too large."""
        ...

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        ...


class LiteRtEngine:
    """TensorFlow Lite with XNNPACK on the folded graph, one radiograph after the other.

    The graph has a batch of one: on a CPU larger batches gain nothing (measured), and a change of batch
    would plan and pack everything anew.
    """

    most_at_once: Final = 1

    def __init__(self, bundle: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter  # only one engine is installed

        interpreter = Interpreter(str(bundle / LITERT_FILE), num_threads=threads)
        self._run = interpreter.get_signature_runner(SIGNATURE)

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        ones = (radiographs[i : i + 1] for i in range(len(radiographs)))
        return concatenate_outputs([GraphOutputs.of(self._run(**{RADIOGRAPH: one})) for one in ones])


class OpenVinoEngine:
    """OpenVINO on the graph for LiteRT, one radiograph after the other, as there.

    The faster of the two on Intel's CPUs with AVX-512, in more memory (``docs/proof/speed.md``).
    """

    most_at_once: Final = 1
    _NAMES: Final = {1: TYPICALITY, 2: PROBABILITY, 4: ACTIVATION_MAP}
    """By rank: the graph's outputs lose their names on the way."""

    def __init__(self, bundle: Path, threads: int) -> None:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it calls its maker
        import openvino  # not installed everywhere

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, where there is AMX: other probabilities
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_HYPER_THREADING": True,  # else half of the threads are left out where cores have two each
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # engines side by side would all have the first core
        }
        try:
            compiled = core.compile_model(core.read_model(bundle / LITERT_FILE), "CPU", settings)
        except RuntimeError as error:  # where in OpenVINO, line by line, and what at the end
            raise ValueError(str(error).strip().splitlines()[-1]) from error
        self._request = compiled.create_infer_request()

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        return concatenate_outputs([self._answer(radiographs[i : i + 1]) for i in range(len(radiographs))])

    def _answer(self, radiograph: Radiographs) -> GraphOutputs:
        answered = self._request.infer([radiograph]).to_tuple()
        return GraphOutputs.of({self._NAMES.get(each.ndim): each for each in answered})


def input_shape(bundle: Path) -> tuple[int, ...]:
    """Say what a bundle's graph for LiteRT takes of one radiograph: (rows, columns, channels)."""
    from ai_edge_litert.interpreter import Interpreter  # only one engine is installed

    runner = Interpreter(str(bundle / LITERT_FILE)).get_signature_runner(SIGNATURE)
    return tuple(int(length) for length in runner.get_input_details()[RADIOGRAPH]["shape"][1:])


class TensorFlowEngine:
    """The SavedModel through TensorFlow, in whose process it is the only one that computes."""

    most_at_once: Final = None

    def __init__(self, bundle: Path) -> None:
        import tensorflow as tf  # heavy, and not in the LiteRT image

        self._model = tf.saved_model.load(str(bundle / SAVED_MODEL_FOLDER))
        self._run = self._model.signatures[SIGNATURE]
        self._constant = tf.constant

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        return GraphOutputs.of(self._run(**{RADIOGRAPH: self._constant(radiographs)}))


def open_engine(kind: EngineKind, bundle: Path, threads: int) -> Engine:
    """Load a bundle's graph into an engine that computes on so many threads."""
    if kind == "litert":
        return LiteRtEngine(bundle, threads)
    if kind == "openvino":
        return OpenVinoEngine(bundle, threads)
    import tensorflow as tf  # heavy, and not in the LiteRT image

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return TensorFlowEngine(bundle)
