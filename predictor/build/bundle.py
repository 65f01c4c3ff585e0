"""Build a model bundle from a model source: weights and description become sealed graphs."""

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
from predictor.build.network import build_feature_network
from predictor.build.weights import Array, InvalidSource, read_weights

SOURCE_FILE: Final = "source.json"


def read_description(source: Path) -> ModelDescription:
    """Read ``source.json``.

    Raises:
        InvalidSource: The file is missing or malformed, or does not fit this software.
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
        InvalidSource: The arrays do not match the network's variables.
    """
    variables = {f"{layer.name}/{v.name}": v for layer in network.layers for v in layer.variables}
    unmatched = sorted(variables.keys() ^ arrays.keys())
    if unmatched:
        raise InvalidSource(f"the weights miss or add {unmatched[0]!r} and {len(unmatched) - 1} others")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise InvalidSource(f"{name!r} has the shape {list(arrays[name].shape)}")
        variable.assign(arrays[name])
    network.trainable = False


def build_bundle(source: Path, target: Path) -> str:
    """Build a sealed bundle. The target folder appears only when the bundle is complete and verified.

    Args:
        source: Folder with ``weights.npz`` and ``source.json``.
        target: Folder of the bundle. An existing folder is replaced.

    Returns:
        The digest of the bundle.

    Raises:
        InvalidSource: The source does not have the form that training writes, or only one of its files has an
            input check.
        DifferentGraphs: The two forms of the model give different outputs.
    """
    description, weights = read_description(source), read_weights(source)
    if (description.input_check is None) is not (weights.head.input_check is None):
        raise InvalidSource("the weights and the description do not both have an input check")
    network = build_feature_network(weights.normalisation)
    load_weights(network, weights.network)
    target.parent.mkdir(parents=True, exist_ok=True)
    # in the file system of the target, because only there the rename is atomic
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        draft = Path(folder) / target.name
        draft.mkdir()
        saved = ServingGraph(network, weights.head)
        # as TFLite converts it, LiteRT takes 174 ms for the graph; folded by us, 28 ms (docs/decisions/0004)
        folded = ServingGraph(FoldedNetwork(network), weights.head, batch=1)
        write_graphs(saved, folded, draft)
        digest = seal(draft, description)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    return digest
