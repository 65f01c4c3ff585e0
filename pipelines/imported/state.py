"""Find the named arrays of a network in a checkpoint, however its author packed them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.imported.tensors import Tensor
from pipelines.imported.torch_file import Checkpoint
from pipelines.imported.unpickle import Instance, UnreadableCheckpoint

_WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "net", "network")
_MOST_MODULES: Final = 5_000
_LONGEST_NAME: Final = 500
_DEEPEST: Final = 4


def _tensors_of_module(module: Instance) -> Iterator[tuple[str, Tensor]]:
    waiting, seen = [("", module)], 0
    while waiting:
        prefix, each = waiting.pop()
        seen += 1
        if seen > _MOST_MODULES or len(prefix) > _LONGEST_NAME:
            raise UnreadableCheckpoint("the modules in the file contain each other")
        for part in ("_parameters", "_buffers"):
            yield from _tensors_of(each.state.get(part), prefix)
        children = each.state.get("_modules")
        for name, child in children.items() if isinstance(children, dict) else ():
            if isinstance(child, Instance):
                waiting.append((f"{prefix}{name}.", child))


def _tensors_of(values: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value


def _tensors(content: Any) -> dict[str, Tensor]:
    for _ in range(_DEEPEST):
        if isinstance(content, Instance):
            return dict(_tensors_of_module(content))
        wrapped = isinstance(content, Mapping) and next(
            (content[name] for name in _WRAPPERS if isinstance(content.get(name), dict | Instance)), None
        )
        if not wrapped:
            break
        content = wrapped
    return dict(_tensors_of(content))


def find_arrays(checkpoint: Checkpoint) -> dict[str, NDArray[np.generic]]:
    """Take the arrays out of a checkpoint, by the names that PyTorch gives them.

    It may be a state dict, a whole module, or a dictionary of a training run that holds one of them.

    Raises:
        UnreadableCheckpoint: There are none, or the file is damaged.
    """
    tensors = _tensors(checkpoint.content)
    if not tensors:
        raise UnreadableCheckpoint("the file holds no network: no state dict, no module")
    return {name: checkpoint.array(tensor) for name, tensor in tensors.items()}
