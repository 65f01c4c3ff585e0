"""Sealing and verifying bundles."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.description import unmeasured_findings
from pleura.bundle import InvalidBundle, ModelDescription, OperatingPoint, seal, verify
from pleura.contract import PREPROCESSING_VERSION
from pleura.findings import FINDINGS


def description() -> ModelDescription:
    point = OperatingPoint(threshold=0.5, sensitivity=0.7, specificity=0.7)
    return ModelDescription(
        name="chest-xray",
        version="1.0.0",
        preprocessing_version=PREPROCESSING_VERSION,
        findings=tuple(unmeasured_findings([point] * len(FINDINGS))),
        calibration="none",
        operating_points_chosen="by hand",
        intended_use="tests",
        limitations=(),
        training_data=(),
        metrics={},
    )


def sealed_in(folder: Path) -> Path:
    (folder / "saved_model").mkdir()
    (folder / "saved_model" / "graph.pb").write_bytes(b"graph" * 50)
    (folder / "model.tflite").write_bytes(b"flat")
    seal(folder, description())
    return folder


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return sealed_in(tmp_path)


def test_a_sealed_bundle_is_valid(sealed: Path) -> None:
    """A sealed bundle verifies, with the digest of the seal."""
    found, digest = verify(sealed)
    assert seal(sealed, description()) == digest
    assert set(found.files) == {"model.tflite", "saved_model/graph.pb"}


@given(
    name=st.sampled_from(["saved_model/graph.pb", "model.tflite", "bundle.json", "bundle.json.sha256"]),
    share=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float, bit: int
) -> None:
    """A single changed bit in any file is found, also in the description and the seal."""
    folder = sealed_in(tmp_path_factory.mktemp("bundle"))
    content = bytearray((folder / name).read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidBundle):
        verify(folder)


def test_a_bundle_without_its_seal_is_refused(sealed: Path) -> None:
    """Without the seal nothing proves the description. With it, sha256sum does too."""
    command = ["sha256sum", "--check", "--quiet", "bundle.json.sha256"]
    assert subprocess.run(command, cwd=sealed, check=False).returncode == 0
    (sealed / "bundle.json.sha256").unlink()
    with pytest.raises(InvalidBundle, match=r"bundle\.json\.sha256"):
        verify(sealed)


def test_added_and_missing_files_are_found(sealed: Path) -> None:
    """A bundle holds exactly the files that it was sealed with."""
    (sealed / "extra").touch()
    with pytest.raises(InvalidBundle, match="extra"):
        verify(sealed)
    (sealed / "extra").unlink()
    (sealed / "model.tflite").unlink()
    with pytest.raises(InvalidBundle, match=r"model\.tflite"):
        verify(sealed)


def test_symbolic_links_are_refused(sealed: Path) -> None:
    """A link could point to a file that was not sealed."""
    (sealed / "link").symlink_to(sealed / "model.tflite")
    with pytest.raises(InvalidBundle, match="link"):
        verify(sealed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"preprocessing_version": "0"}, "preprocessing version 0"),
        ({"findings": []}, "findings must be"),
        ({"version": "../1"}, "version"),
        ({"intended_use": None}, "intended_use"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    sealed: Path, change: dict[str, object], says: str
) -> None:
    """Other findings, another preprocessing or unknown members are named and refused."""
    path = sealed / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidBundle, match=says):
        verify(sealed)


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    """The error names the file that is missing."""
    with pytest.raises(InvalidBundle, match=r"bundle\.json"):
        verify(tmp_path)
