"""Make a model bundle of a model source: weights and description become sealed graphs."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import keras
from pydantic import ValidationError

from pleura.bundle import ModelDescription, seal
from predictor.engines.agreement import DifferentGraphs
from predictor.build.export import write_graphs
from predictor.build.folded import FoldedNetwork
from predictor.build.graph import ServingGraph
from predictor.build.network import feature_network
from predictor.build.weights import Array, InvalidSource, read_weights

SOURCE_FILE: Final = "source.json"


def read_description(source: Path) -> ModelDescription:
    """Read ``source.json``.

    Raises:
        InvalidSource: It is missing or malformed, or does not fit this software.
    """
    path = source / SOURCE_FILE
    try:
        return ModelDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidSource(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise InvalidSource(f"{path}: {where}: {first['msg']}") from error


def load_weights(network: keras.Model, arrays: Mapping[str, Array]) -> None:
    """Assign every variable of the network, and freeze it.

    Raises:
        InvalidSource: The arrays are not exactly the network's variables.
    """
    variables = {f"{layer.name}/{v.name}": v for layer in network.layers for v in layer.variables}
    odd = sorted(variables.keys() ^ arrays.keys())
    if odd:
        raise InvalidSource(f"the weights miss or add {odd[0]!r} and {len(odd) - 1} others")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise InvalidSource(f"{name!r} has the shape {list(arrays[name].shape)}")
        variable.assign(arrays[name])
    network.trainable = False


def build_bundle(source: Path, target: Path) -> str:
    """Build a sealed bundle; the target appears only when all of it is there and proven.

    Args:
        source: Folder with ``weights.npz`` and ``source.json``.
        target: Folder to make; replaced where it exists.

    Returns:
        The digest of the bundle.

    Raises:
        InvalidSource: The source is not what training should leave.
        DifferentGraphs: The two forms of the model do not agree.
    """
    description, weights = read_description(source), read_weights(source)
    network = feature_network(weights.normalisation)
    load_weights(network, weights.network)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        draft = Path(folder) / target.name
        draft.mkdir()
        saved = ServingGraph(network, weights.head)
        folded = ServingGraph(FoldedNetwork(network), weights.head, batch=1)
        write_graphs(saved, folded, draft)
        digest = seal(draft, description)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    return digest
