"""TensorFlow: runs the SavedModel, as the reference and on GPUs.

TensorFlow is imported inside the functions: it is heavy, and the LiteRT image does not hold it.
"""

from pathlib import Path
from typing import Final

from pleura.contract import RADIOGRAPH
from predictor.engines.engine import SAVED_MODEL_FOLDER, SIGNATURE, GraphOutputs, Radiographs


def limit_threads(threads: int) -> None:
    """Limit the threads that TensorFlow computes on, for the whole process."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


class TensorFlowEngine:
    """The SavedModel, which takes a batch of any size."""

    max_batch: Final = None

    def __init__(self, bundle: Path) -> None:
        import tensorflow as tf

        self._model = tf.saved_model.load(str(bundle / SAVED_MODEL_FOLDER))
        self._run = self._model.signatures[SIGNATURE]
        self._constant = tf.constant

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1) with N >= 1."""
        return GraphOutputs.from_names(self._run(**{RADIOGRAPH: self._constant(radiographs)}))
