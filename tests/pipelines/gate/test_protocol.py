"""The protocol is fixed, versioned, and refuses to be nonsense."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.subgroups import AGE_BOUNDS, ATTRIBUTES
from pipelines.gate.protocol import GateProtocol
from tests.support.pipelines.contenders import CLINICAL_PROTOCOL, SMALL_PROTOCOL, read_protocol


def test_the_default_margins_are_the_agreed_ones() -> None:
    """Two points of AUROC, one of the mean, five of sensitivity, three for pneumothorax, and so on."""
    protocol = read_protocol(CLINICAL_PROTOCOL)
    assert (protocol.auroc.margin, protocol.auroc.macro_margin, protocol.confidence) == (0.02, 0.01, 0.95)
    assert protocol.sensitivity.of("Effusion") == 0.05
    assert protocol.sensitivity.of("Pneumothorax") == 0.03
    assert (protocol.brier.margin, protocol.brier.judged_by) == (0.002, "bound")
    assert (protocol.calibration_slope.low, protocol.calibration_slope.high) == (0.9, 1.1)
    assert (protocol.subgroups.widened_by, protocol.subgroups.minimum_positives) == (0.03, 50)
    assert (protocol.unshown, dict(protocol.exempt), protocol.is_clinical) == ("refuse", {}, True)


def test_the_small_protocol_is_not_clinical() -> None:
    """Its margins are too wide for a clinical decision."""
    assert not read_protocol(SMALL_PROTOCOL).is_clinical


@pytest.mark.parametrize("path", [CLINICAL_PROTOCOL, SMALL_PROTOCOL], ids=lambda path: path.stem)
def test_the_gate_compares_the_subgroups_that_the_report_shows(path: Path) -> None:
    """Attributes and age bands of the shipped protocols are those of the evaluation report."""
    subgroups = read_protocol(path).subgroups
    assert subgroups.axes == ATTRIBUTES
    assert subgroups.age_cuts == AGE_BOUNDS
    assert EvaluationProtocol().age_bands == (0, *AGE_BOUNDS)


def test_the_digest_is_of_the_rules_and_not_of_the_file(tmp_path: Path) -> None:
    """A comment changes nothing, a margin does."""
    plain, commented, changed = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    text = CLINICAL_PROTOCOL.read_text()
    plain.write_text(text)
    commented.write_text("# seen\n" + text)
    changed.write_text(text.replace("macro_margin: 0.01", "macro_margin: 0.011"))
    digests = [read_protocol(path).digest for path in (plain, commented, changed)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sensitivity": {"margin": 0.05, "of_finding": {"Pneumotorax": 0.03}}}, "not a finding"),
        ({"exempt": {"Hernai": "rare"}}, "not a finding"),
        ({"unshown": "allow_with_note"}, "refuses what cannot be shown"),
        ({"calibration_slope": {"low": 1.1, "high": 0.9, "judged_by": "bound"}}, "slope of 1"),
        ({"auroc": {"margin": -0.02, "macro_margin": 0.01}}, "auroc.margin"),
        ({"aurok": {"margin": 0.5}}, "aurok"),
    ],
)
def test_nonsense_is_refused_before_a_run(change: dict[str, Any], says: str) -> None:
    """A misspelt finding would otherwise silently get the wide margin."""
    document = yaml.safe_load(CLINICAL_PROTOCOL.read_text()) | change
    with pytest.raises(ValidationError, match=says):
        GateProtocol.model_validate(document)
