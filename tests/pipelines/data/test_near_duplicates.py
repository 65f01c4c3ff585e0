"""The same exposure is recognised in any encoding, and never confused with that of another patient."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.near_duplicates import NEAR_CORRELATION, find_duplicates, fingerprint

Pixels = NDArray[np.uint8]
NAMES = (
    "nih_00000003_000.jpg",
    "nih_00000099_003.jpg",
    "nih_00000103_000.dcm",
    "nih_00000362_001.png",
    "nih_00001968_000.png",
    "nih_00016661_000.jpg",
    "dog_thorax.dcm",
)


def _trimmed(pixels: Pixels, share: float) -> Pixels:
    rows, columns = (round(edge * share) for edge in pixels.shape)
    return pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]


def _jpeg(pixels: Pixels) -> Pixels:
    file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8)


def _scaled(pixels: Pixels, factor: float) -> Pixels:
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _lit(pixels: Pixels) -> Pixels:
    return np.rint(255 * (pixels / 255.0) ** 0.8).astype(np.uint8)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG 60": _jpeg,
    "half size": lambda pixels: _scaled(pixels, 0.5),
    "1.5 times the size": lambda pixels: _scaled(pixels, 1.5),
    "1 % off each edge": lambda pixels: _trimmed(pixels, 0.01),
    "2 % off each edge": lambda pixels: _trimmed(pixels, 0.02),
    "5 % off the top": lambda pixels: pixels[round(pixels.shape[0] * 0.05) :],
    "another gamma": _lit,
}


@pytest.fixture(scope="module")
def films(samples: Path) -> list[Pixels]:
    """The sample radiographs, each of another patient, in 8 bits."""
    films = []
    for name in NAMES:
        pixels = decode_radiograph((samples / name).read_bytes()).astype(np.float32)
        films.append(np.rint(255 * (pixels - pixels.min()) / np.ptp(pixels)).astype(np.uint8))
    return films


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_radiograph_is_recognised(films: list[Pixels], change: str) -> None:
    """Each changed radiograph matches its original and no other radiograph."""
    both = [fingerprint(pixels) for pixels in (*films, *map(CHANGES[change], films))]
    found = find_duplicates(both)
    assert [(each.first, each.second) for each in found] == [(n, n + len(films)) for n in range(len(films))]
    assert not any(each.exact for each in found)
    assert all(each.correlation > NEAR_CORRELATION for each in found)


def test_equal_pixels_are_exact_duplicates(films: list[Pixels]) -> None:
    """The file format does not matter. Another bit depth or shape is another radiograph."""
    lossless = np.asarray(cv2.imdecode(cv2.imencode(".png", films[0])[1], cv2.IMREAD_GRAYSCALE), np.uint8)
    (found,) = find_duplicates([fingerprint(films[0]), fingerprint(films[1]), fingerprint(lossless)])
    assert (found.first, found.second, found.exact) == (0, 2, True)


def test_no_or_one_radiograph_has_no_duplicates(films: list[Pixels]) -> None:
    """A data set may be empty."""
    assert find_duplicates([]) == find_duplicates([fingerprint(films[0])]) == []


def test_pairs_far_apart_are_found() -> None:
    """Every pair is compared, also across the blocks of the comparison."""
    rng = np.random.default_rng(1)
    many = [fingerprint(rng.integers(0, 256, (64, 64), np.uint8)) for _ in range(600)]
    many[599], many[255] = many[0], many[256]
    assert [(each.first, each.second) for each in find_duplicates(many)] == [(0, 599), (255, 256)]


def test_no_false_alarm_among_hundreds_of_patients(test_data: Path) -> None:
    """Among 600 real radiographs no two patients share an exposure."""
    with (test_data / "radiographs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    marks = [fingerprint(decode_radiograph((test_data / row["path"]).read_bytes())) for row in rows]
    assert len(marks) == 600
    pairs = [(rows[each.first], rows[each.second]) for each in find_duplicates(marks)]
    assert all(one["patient_id"] == other["patient_id"] for one, other in pairs)
