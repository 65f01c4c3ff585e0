"""The engines: what they load, what they compute, and how they end."""

import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictor.__main__ import require_reference
from predictor.engines.agreement import DifferentGraphs, require_same
from predictor.engines.engine import LITERT_FILE, GraphOutputs, Radiographs
from predictor.engines.openvino import OpenVinoEngine
from predictor.settings import PredictorSettings

_IMPORTS = """
import sys
from pathlib import Path
from predictor.engines.openvino import OpenVinoEngine
OpenVinoEngine(Path(sys.argv[1]), 1)
import openvino.tools.ovc
print(sys.modules["openvino_telemetry"], openvino.tools.ovc.telemetry.__class__.__module__)
"""
_ENDS = """
import asyncio, sys
from pathlib import Path
import numpy as np
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread
from predictor.engines.engine import open_engine

async def begin():
    radiographs = np.zeros((10, 224, 224, 1), np.uint8)
    running = asyncio.ensure_future(pool.run(pool.reserve_engine(1), radiographs))
    await asyncio.sleep(0.1)
    assert not running.done()

pool = EnginePool(EngineThread(open_engine(sys.argv[2], Path(sys.argv[1]), 1)))
asyncio.run(begin())
pool.close()
"""


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_openvino_sends_no_telemetry(bundle: Path) -> None:
    """The package that reports each import to Intel is not loaded. OpenVINO uses its stub."""
    assert _run(_IMPORTS, str(bundle)).stdout.split() == ["None", "openvino.tools.ovc.telemetry_stub"]


@pytest.mark.parametrize("kind", ["litert", "openvino"])
def test_a_process_ends_cleanly_during_a_run(kind: str, default_bundle: Path) -> None:
    """The process does not wait for the run, and ends with 0."""
    done = _run(_ENDS, str(default_bundle), kind)
    assert (done.returncode, done.stderr) in [
        (0, ""),
        (0, "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"),
    ]


def test_openvino_uses_the_configured_threads(bundle: Path) -> None:
    """The number of threads does not depend on the hardware threads of a core."""
    compiled = OpenVinoEngine(bundle, threads=1)._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_parallel_openvino_engines_do_not_disturb_each_other(default_bundle: Path) -> None:
    """Each gives the same outputs as alone, to the bit."""
    radiographs = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 1), dtype=np.uint8)
    engines = [OpenVinoEngine(default_bundle, threads=1) for _ in range(2)]
    alone = engines[0].run(radiographs).probability
    outputs: list[GraphOutputs] = []
    threads = [
        threading.Thread(target=lambda engine=engine: outputs.append(engine.run(radiographs)))
        for engine in engines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [np.array_equal(output.probability, alone) for output in outputs] == [True, True]


def test_a_broken_graph_is_named(bundle: Path, tmp_path: Path) -> None:
    """The error for a file that is cut short is one line with the reason."""
    shutil.copytree(bundle, tmp_path / "cut")
    file = tmp_path / "cut" / LITERT_FILE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"(?i)flatbuffer") as failed:
        OpenVinoEngine(tmp_path / "cut", threads=1)
    assert "\n" not in str(failed.value)


def _outputs(probability: float, typicality: float) -> GraphOutputs:
    shape = (2, 14)
    return GraphOutputs(
        np.full(shape, probability, np.float32),
        np.zeros((*shape, 7, 7), np.float32),
        np.full(2, typicality, np.float32),
    )


@pytest.mark.parametrize(("probability", "typicality"), [(0.5002, 0.5), (0.5, 0.52), (np.nan, 0.5)])
def test_different_outputs_are_refused(probability: float, typicality: float) -> None:
    """A difference above the tolerance, or NaN, is an error."""
    require_same(_outputs(0.5, 0.5), _outputs(0.50005, 0.505), "A and B")
    with pytest.raises(DifferentGraphs, match="A and B differ by"):
        require_same(_outputs(0.5, 0.5), _outputs(probability, typicality), "A and B")


def test_a_different_input_check_is_refused() -> None:
    """A class or a distance that differs, or a check that only one engine has, is an error."""
    check, distance = np.full((2, 4), 0.25, np.float32), np.full((2, 1), 20, np.float32)
    plain = _outputs(0.5, 0.5)
    checked = replace(plain, input_check=check, distance=distance)
    require_same(checked, replace(checked, input_check=check + 0.001, distance=distance * 1.001), "A and B")
    others = (
        plain,
        replace(checked, input_check=check + 0.02),
        replace(checked, distance=distance * 1.02),
        replace(checked, distance=distance * np.nan),
    )
    for other in others:
        with pytest.raises(DifferentGraphs, match="in the input check"):
            require_same(checked, other, "A and B")


class ConstantEngine:
    """An engine with constant outputs."""

    max_batch = 1

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Return the constant outputs."""
        return _outputs(0.5, 0.5)


def test_openvino_that_differs_from_litert_does_not_start(
    default_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The predictor refuses to start, with one line that names the setting."""
    settings = PredictorSettings(bundle=default_bundle, engine="openvino", threads=1, trust_network=True)
    require_reference(settings, OpenVinoEngine(default_bundle, threads=1))
    with pytest.raises(SystemExit) as ended:
        require_reference(settings, ConstantEngine())
    assert ended.value.code == 2
    assert "PLEURA_ENGINE: OpenVINO and LiteRT differ by" in "".join(capsys.readouterr())
