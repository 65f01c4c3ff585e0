"""Find the arrays of a network in a checkpoint. Authors pack them in several ways."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.imported.torch_file import Checkpoint
from pipelines.imported.unpickle import InertObject, TensorArguments, UnreadableCheckpoint

_WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "net", "network")
_MOST_MODULES: Final = 5_000
_LONGEST_NAME: Final = 500
_DEEPEST: Final = 4


def find_arrays(checkpoint: Checkpoint) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a checkpoint, by the names that PyTorch gives them.

    The checkpoint may hold a state dict, a module, or a dictionary of a training run around one of them.

    Raises:
        UnreadableCheckpoint: The file holds no arrays, or is damaged.
    """
    tensors = _find_tensors(checkpoint.content)
    if not tensors:
        raise UnreadableCheckpoint("the file holds no network: no state dict, no module")
    return {name: checkpoint.read_array(tensor) for name, tensor in tensors.items()}


def _find_tensors(content: Any) -> dict[str, TensorArguments]:
    for _ in range(_DEEPEST):
        if isinstance(content, InertObject):
            return dict(_module_tensors(content))
        wrapped = isinstance(content, Mapping) and next(
            (content[name] for name in _WRAPPERS if isinstance(content.get(name), dict | InertObject)), None
        )
        if not wrapped:
            break
        content = wrapped
    return dict(_tensors_in(content))


def _module_tensors(module: InertObject) -> Iterator[tuple[str, TensorArguments]]:
    # A list instead of recursion: a hostile file may nest modules deeper than Python's stack allows.
    waiting, count = [("", module)], 0
    while waiting:
        prefix, module = waiting.pop()
        count += 1
        if count > _MOST_MODULES or len(prefix) > _LONGEST_NAME:
            raise UnreadableCheckpoint("the modules in the file contain each other")
        for part in ("_parameters", "_buffers"):
            yield from _tensors_in(module.state.get(part), prefix)
        children = module.state.get("_modules")
        for name, child in children.items() if isinstance(children, dict) else ():
            if isinstance(child, InertObject):
                waiting.append((f"{prefix}{name}.", child))


def _tensors_in(values: Any, prefix: str = "") -> Iterator[tuple[str, TensorArguments]]:
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, TensorArguments):
                yield f"{prefix}{name}", value
