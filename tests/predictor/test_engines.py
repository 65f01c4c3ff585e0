"""What an engine brings along."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import sys
from pathlib import Path
from predictor.engines import OpenVinoEngine
OpenVinoEngine(Path(sys.argv[1]), 1)
import openvino.tools.ovc
print(sys.modules["openvino_telemetry"], openvino.tools.ovc.telemetry.__class__.__module__)
"""


def test_openvino_tells_its_maker_nothing(bundle: Path) -> None:
    """The package that would tell Intel of each import is not loaded; a stub takes its place."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["None", "openvino.tools.ovc.telemetry_stub"]
