"""Where a stage of training stands after each epoch, so that whatever kills it costs an epoch at most.

Keras's ``BackupAndRestore`` writes in place: a run that was killed while it wrote could not be resumed
(tried), and with its second copy the weights may be of one epoch and the number of another.
"""

import shutil
from pathlib import Path
from typing import Any, Final

import keras

from pipelines.atomic_file import write_atomically

_PATTERN: Final = "epoch*.weights.h5"


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Keeps weights and optimizer after each epoch; a file that is there is whole, and named by its epoch."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the state in place of the former epoch's."""
        self._folder.mkdir(exist_ok=True)
        kept = self._folder / f"epoch{epoch + 1:05}.weights.h5"
        with write_atomically(kept) as draft:
            self.model.save_weights(draft)
        for each in self._folder.glob(_PATTERN):
            if each != kept:
                each.unlink()

    def restore(self, network: keras.Model) -> int:
        """Set a compiled network to the last epoch that was kept; say how many epochs are done."""
        found = sorted(self._folder.glob(_PATTERN))
        if not found:
            return 0
        network.optimizer.build(network.trainable_variables)
        network.load_weights(found[-1])
        return int(found[-1].name.removeprefix("epoch").removesuffix(".weights.h5"))

    def remove(self) -> None:
        """Remove what was kept: the stage is done, and its result is kept elsewhere."""
        shutil.rmtree(self._folder, ignore_errors=True)
