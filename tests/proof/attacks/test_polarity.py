"""A reader shows a file's greys as its elements state, or refuses the file. It never inverts silently."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid

from pleura.errors import PleuraError
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from proof.fuzz.mutation import MUTATORS, mutate_bytes
from proof.fuzz.seeds import make_seeds
from proof.fuzz.targets import TARGETS, PropertyViolated, run_target
from proof.lab.files import MAX_PIXELS, make_dicom
from proof.lab.pictures import (
    COMPRESSED,
    NATIVE,
    compress_dicom,
    correlate,
    dicom_of_jpeg,
    make_deep_picture,
    make_lut,
    make_picture,
    make_picture_tensor,
)

SYNTAXES = (*NATIVE, *COMPRESSED)
MIN_CORRELATION = 0.9
SEEDS = make_seeds()


def store_picture(
    is_negative: bool, slope: float, intercept: int, is_signed: bool, table: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Store the picture through every element that can invert its greys."""
    displayed = make_picture().astype(float) * 8  # 0 to 2040, as displayed
    elements: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}
    if is_negative:
        elements["PhotometricInterpretation"] = "MONOCHROME1"
        displayed = 2040 - displayed
    if table.endswith("falling"):
        displayed = 2040 - displayed
    if table.startswith("modality"):
        values = displayed
        entries = range(2048) if table == "modality rising" else range(2040, -8, -1)
        elements["ModalityLUTSequence"] = make_lut([max(0, entry) for entry in entries], 0)
        is_signed = False
    else:
        elements |= {"RescaleSlope": str(slope), "RescaleIntercept": str(intercept)}
        values = displayed if slope > 0 else 2040 - displayed
        values = values - (1024 if is_signed else 0)
    if table.startswith("VOI"):
        elements |= {"RescaleSlope": "1", "RescaleIntercept": "0"}
        values = displayed
        entries = range(2048) if table == "VOI rising" else range(2040, -8, -1)
        elements["VOILUTSequence"] = make_lut([max(0, entry) for entry in entries], 0)
        is_signed = False
    return np.rint(values).astype(np.int16 if is_signed else np.uint16), elements


@given(
    st.sampled_from(SYNTAXES),
    st.booleans(),
    st.sampled_from([1.0, 0.25, 3.0, -1.0, -2.5]),
    st.sampled_from([0, -1024, 4000]),
    st.booleans(),
    st.sampled_from(["none", "none", "modality rising", "modality falling", "VOI rising", "VOI falling"]),
    st.sampled_from([None, "IDENTITY", "INVERSE"]),
)
@settings(max_examples=150)
def test_a_picture_is_shown_as_its_elements_state(
    syntax: str,
    is_negative: bool,
    slope: float,
    intercept: int,
    is_signed: bool,
    table: str,
    shape: str | None,
) -> None:
    """Every polarity, slope, sign, table and shape shows the same picture in every encoding."""
    stored, elements = store_picture(is_negative, slope, intercept, is_signed, table)
    if shape:
        elements["PresentationLUTShape"] = shape
    native = syntax in NATIVE
    file = make_dicom(stored, syntax=syntax if native else uid.ExplicitVRLittleEndian, **elements)
    file = file if native else compress_dicom(file, syntax)
    is_contradiction = shape is not None and (shape == "INVERSE") != is_negative
    try:
        tensor = to_tensor(read_radiograph(file, MAX_PIXELS).pixels)
    except PleuraError:
        assert is_contradiction  # a contradictory file is refused, and no other
    else:
        assert not is_contradiction
        assert correlate(tensor, make_picture_tensor()) > MIN_CORRELATION


@pytest.mark.parametrize(
    "name", ["rle", "jpeg_lossless", "jpegls_lossless", "j2k_lossless", "jpeg_extended12"]
)
def test_real_encodings_follow_the_photometric_interpretation(name: str, test_data: Path) -> None:
    """A real file of each codec with MONOCHROME1 replaced by MONOCHROME2 shows the negative."""
    require_negative((test_data / "dicom" / f"nih_10bit_{name}.dcm").read_bytes())


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGBaseline8Bit])
def test_encoded_samples_follow_the_photometric_interpretation(syntax: str) -> None:
    """A made file of each codec that we can write shows the negative after the same replacement."""
    large: Any = make_picture(512, 512)
    native = make_dicom(large, PhotometricInterpretation="MONOCHROME1")
    if syntax == uid.JPEGBaseline8Bit:
        file = dicom_of_jpeg(large, PhotometricInterpretation="MONOCHROME1")
    else:
        file = compress_dicom(native, syntax)
    require_negative(file)


def require_negative(file: bytes) -> None:
    """Require that the file shows the negative with MONOCHROME1 replaced by MONOCHROME2."""
    changed = file.replace(b"MONOCHROME1", b"MONOCHROME2")
    assert changed != file
    tensors = [to_tensor(read_radiograph(each, MAX_PIXELS).pixels) for each in (file, changed)]
    assert correlate(*tensors) < -MIN_CORRELATION


def mutate(data: bytes, choice: st.DataObject) -> bytes:
    """Change, remove or add some bytes."""
    at = choice.draw(st.integers(0, max(0, len(data) - 1)))
    new = choice.draw(st.binary(max_size=8))
    return data[:at] + new + data[at + choice.draw(st.sampled_from([len(new), 0, 1, 64])) :]


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"checkpoint"}))
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_mutated_input_gives_an_answer_or_an_error_of_ours(name: str, data: st.DataObject) -> None:
    """A short run of the fuzzer finds no other exception, no inversion and no forged token."""
    run_mutated(name, data)


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_a_mutated_checkpoint_is_read_or_refused(data: st.DataObject) -> None:
    """Fewer runs, because each starts the process that reads the pickle."""
    run_mutated("checkpoint", data)


def run_mutated(name: str, data: st.DataObject) -> None:
    """Run a target on a seed that was mutated a few times."""
    content = data.draw(st.sampled_from(SEEDS[name]))
    mutator = MUTATORS.get(name, mutate_bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        seed = data.draw(st.integers(0, 2**32 - 1))
        content = mutator(content, 2**16, seed, lambda part, _: mutate(part, data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_target(TARGETS[name], content)


def test_the_fuzzer_notices_an_inversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer reports a reader that ignores MONOCHROME1."""
    file = make_dicom(
        4095 - make_deep_picture(), PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11
    )
    assert run_target(TARGETS["dicom"], file) == "answered"
    monkeypatch.setattr("pleura.radiograph.grayscale.is_inverted", lambda _: False)
    with pytest.raises(PropertyViolated, match="inversion"):
        run_target(TARGETS["dicom"], file)
