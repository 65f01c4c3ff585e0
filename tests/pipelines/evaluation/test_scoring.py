"""Labelled radiographs, scored by a bundle through the engine that serves it."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.manifest import Record
from pipelines.evaluation.scoring import (
    UnusableOutputs,
    join_labels,
    run_bundle,
    score_radiographs,
    tensor_of,
)
from pleura.bundle import InvalidBundle
from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.findings import FINDINGS
from pleura.radiograph.tensor import to_tensor
from predictor.engines.litert import LiteRtEngine, read_input_shape


def _records(samples: Path) -> tuple[tuple[Record, ...], np.ndarray]:
    files = [path.read_bytes() for path in sorted(samples.glob("nih_*"))]
    records = tuple(
        Record(
            key=str(number),
            sha256=hashlib.sha256(file).hexdigest(),
            patient=f"p{number}",
            source="samples",
            licence="NIH",
            split="test",
            labels={"Mass": True, "Hernia": False},
            age=None if number else 61,
        )
        for number, file in enumerate(files)
    )
    return records, np.stack([tensor_of(file) for file in files])


def test_the_served_engine_is_evaluated(bundle: Path, samples: Path) -> None:
    """Scores are the engine's own outputs, joined with the labels in the same order."""
    records, tensors = _records(samples)
    found, maps = score_radiographs(bundle, records, tensors)
    outputs = LiteRtEngine(bundle, threads=1).run(tensors[..., None])
    np.testing.assert_allclose(found.probabilities, outputs.probability, atol=1e-6)
    np.testing.assert_allclose(found.typicality, outputs.typicality, atol=1e-6)
    np.testing.assert_allclose(maps, outputs.activation_map, atol=1e-5)
    assert list(found.digests) == [record.sha256 for record in records]
    assert found.ages[0] == 61
    assert np.isnan(found.ages[1:]).all()


def test_unknown_is_neither_present_nor_absent(bundle: Path, samples: Path) -> None:
    """Of fourteen findings two are known; the other twelve stay unknown."""
    found, _ = score_radiographs(bundle, *_records(samples))
    assert (found.labels[:, FINDINGS.index("Mass")] == 1).all()
    assert (found.labels[:, FINDINGS.index("Hernia")] == 0).all()
    assert np.isnan(found.labels).sum() == 12 * len(found)


def test_nan_is_an_error(challengers: dict[str, Path]) -> None:
    """A model that answers NaN to one radiograph in three is refused, and the error counts them."""
    blank = np.zeros((2, 224, 224), np.uint8)
    assert np.isfinite(run_bundle(challengers["nan"], blank).probabilities).all()
    grey = np.random.default_rng(0).integers(0, 255, (1, 224, 224), np.uint8)
    with pytest.raises(UnusableOutputs, match="1 of 3 radiographs"):
        run_bundle(challengers["nan"], np.concatenate([blank, grey]))


def test_a_model_of_another_input_size_is_refused(bundle: Path, challengers: dict[str, Path]) -> None:
    """The error says what it takes, and what there is."""
    assert read_input_shape(bundle) == (224, 224, 1)
    with pytest.raises(UnusableOutputs, match="of 448 x 448 x 1, not of 224 x 224 x 1"):
        run_bundle(challengers["large"], np.zeros((1, 224, 224), np.uint8))


def test_a_changed_bundle_is_not_asked(tmp_path: Path, bundle: Path) -> None:
    """A bundle whose files were changed after sealing is refused."""
    copy = tmp_path / "bundle"
    copy.mkdir()
    for name in ("bundle.json", "bundle.json.sha256"):
        (copy / name).write_bytes((bundle / name).read_bytes())
    with pytest.raises(InvalidBundle, match="missing"):
        run_bundle(copy, np.zeros((1, 224, 224), np.uint8))


def test_each_radiograph_needs_its_answer(bundle: Path, samples: Path) -> None:
    """Outputs for some of the radiographs cannot be joined with all records."""
    records, tensors = _records(samples)
    with pytest.raises(ValueError, match="outputs for"):
        join_labels(records, run_bundle(bundle, tensors[1:]))


def test_webp_is_read_like_any_other_file(samples: Path) -> None:
    """A WebP file without loss gives the tensor of the PNG that it was made of."""
    png = (samples / "nih_00000362_001.png").read_bytes()
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    _, webp = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])
    np.testing.assert_array_equal(tensor_of(webp.tobytes()), to_tensor(pixels))
    np.testing.assert_array_equal(tensor_of(png), to_tensor(pixels))


def test_what_is_no_radiograph_is_refused() -> None:
    """Half a WebP file is unreadable, a blank one is refused."""
    with pytest.raises(UnreadableRadiograph):
        tensor_of(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    _, blank = cv2.imencode(".webp", np.full((300, 300), 90, np.uint8))
    with pytest.raises(RefusedRadiograph):
        tensor_of(blank.tobytes())
