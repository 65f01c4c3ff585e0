"""Save a training after each epoch, so that an interruption costs one epoch at most."""

import shutil
from pathlib import Path
from typing import Any, Final

import keras

from pipelines.atomic_file import write_atomically

_PATTERN: Final = "epoch*.weights.h5"


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Saves weights and optimizer after each epoch, in a complete file with the epoch in its name."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save this epoch and delete the previous one."""
        self._folder.mkdir(exist_ok=True)
        # docs/decisions/0044: Keras's BackupAndRestore writes in place,
        # and weights and epoch number need not belong together.
        saved = self._folder / f"epoch{epoch + 1:05}.weights.h5"
        with write_atomically(saved) as draft:
            self.model.save_weights(draft)
        # Deleted only now: whenever the process is killed, one complete file is left.
        for path in self._folder.glob(_PATTERN):
            if path != saved:
                path.unlink()

    def restore(self, network: keras.Model) -> int:
        """Load the last saved epoch into a compiled network, and return the number of finished epochs."""
        # The epochs have five digits, so the last name is the last epoch.
        saved = sorted(self._folder.glob(_PATTERN))
        if not saved:
            return 0
        # Keras skips the state of an optimizer that has no variables yet, with a warning only.
        network.optimizer.build(network.trainable_variables)
        network.load_weights(saved[-1])
        return int(saved[-1].name.removeprefix("epoch").removesuffix(".weights.h5"))

    def remove(self) -> None:
        """Delete the saved epochs."""
        shutil.rmtree(self._folder, ignore_errors=True)
