"""Building a bundle from a source folder: complete, or not at all."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pleura.bundle import verify
from predictor.engines.litert import LiteRtEngine
from predictor.engines.engine import Radiographs
from predictor.build.weights import InvalidSource, take_head
from proof.lab.bundles import build_description, make_head_arrays, save_weights

ROOT = Path(__file__).parents[3]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pleura.console.app", "model", "build", str(source), str(target)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def noise(count: int) -> Radiographs:
    return np.random.default_rng(0).integers(0, 255, (count, 224, 224, 1), dtype=np.uint8)


def operations(engine: LiteRtEngine) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = engine._run._interpreter._get_ops_details()
    return details


def test_a_bundle_of_the_real_network_is_sealed_and_answers(densenet: Path) -> None:
    """The bundle verifies, and each radiograph of a request gets the same outputs as alone."""
    found, digest = verify(densenet)
    assert found.version == build_description().version
    assert len(digest) == 64
    engine, radiographs = LiteRtEngine(densenet, threads=2), noise(2)
    together = engine.run(radiographs)
    assert together.probability.shape == (2, 14)
    assert np.array_equal(together.probability[1:], engine.run(radiographs[1:]).probability)


def test_xnnpack_takes_the_whole_graph(densenet: Path) -> None:
    """One delegated block computes the outputs. Before it, only the bytes become numbers."""
    engine = LiteRtEngine(densenet, threads=2)
    engine.run(noise(1))
    found = operations(engine)
    (delegated,) = (each for each in found if each["op_name"] == "DELEGATE")
    outputs = {detail["index"] for detail in engine._run._interpreter.get_output_details()}
    assert outputs == set(delegated["outputs"])
    assert found[0]["op_name"] == "CAST"
    assert found[0]["outputs"][0] in delegated["inputs"]


def test_batch_norms_and_activations_are_part_of_the_convolutions(densenet: Path) -> None:
    """No pass over memory is only for a norm or an activation."""
    names = [each["op_name"] for each in operations(LiteRtEngine(densenet, threads=2))]
    assert names.count("CONV_2D") == 1 + 2 * 58 + 3 + 1  # stem, dense layers, transitions, head
    assert names.count("DEPTHWISE_CONV_2D") == 58 + 3 + 1  # dense layers, transitions, features
    until_the_head = names[: len(names) - names[::-1].index("CONV_2D")]
    assert until_the_head.count("MUL") + until_the_head.count("RELU") == 0


def test_weights_of_another_network_are_refused(source: Path, tmp_path: Path) -> None:
    """A missing variable is named, and no bundle appears."""
    from predictor.build.bundle import build_bundle

    with np.load(source / "weights.npz") as file:
        save_weights(tmp_path, {name: file[name] for name in file.files if name != "stem_bn/gamma"})
    shutil.copy(source / "source.json", tmp_path)
    with pytest.raises(InvalidSource, match="'stem_bn/gamma'"):
        build_bundle(tmp_path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_an_input_check_needs_weights_and_thresholds(source: Path, tmp_path: Path) -> None:
    """Thresholds without a regression, or a regression without thresholds, make no bundle."""
    from predictor.build.bundle import build_bundle

    shutil.copytree(source, tmp_path / "source")
    description = build_description().model_copy(update={"input_check": None})
    (tmp_path / "source" / "source.json").write_text(description.model_dump_json())
    with pytest.raises(InvalidSource, match="input check"):
        build_bundle(tmp_path / "source", tmp_path / "bundle")


def test_a_source_for_other_preprocessing_is_refused(tmp_path: Path) -> None:
    """A model for another preprocessing version is refused with one line."""
    text = build_description().model_copy(update={"preprocessing_version": "0"}).model_dump_json()
    (tmp_path / "source.json").write_text(text)
    done = build(tmp_path, tmp_path / "bundle")
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "preprocessing version 0" in line


def test_graphs_that_differ_are_refused(tmp_path: Path) -> None:
    """A LiteRT model with other outputs than the SavedModel is refused."""
    import tensorflow as tf

    from predictor.engines.agreement import DifferentGraphs
    from predictor.build.export import write_graphs
    from predictor.build.graph import ServingGraph

    def graph(gain: float, batch: int | None) -> ServingGraph:
        def features(x: Any) -> Any:
            return tf.tile(tf.nn.avg_pool2d(x * gain, 32, 32, "VALID"), (1, 1, 1, 4))

        return ServingGraph(features, head, batch)

    head = take_head(make_head_arrays(4))
    with pytest.raises(DifferentGraphs, match="differ by"):
        write_graphs(graph(0.004, None), graph(0.00402, 1), tmp_path)
