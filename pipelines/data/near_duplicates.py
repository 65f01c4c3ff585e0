"""Find radiographs of the same exposure: with equal pixels, or re-encoded, resized or trimmed.

A 256-bit hash of the low frequencies finds candidates among all pairs. Each pair of candidates is then
aligned and correlated. Different patients reached a correlation of 0.981 at most among 7,743 radiographs.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.radiograph.tensor import to_tensor

# docs/decisions/0041. A distance of 16 missed nearly every radiograph that had lost 1 % of its edges.
NEAR_DISTANCE: Final = 72
NEAR_CORRELATION: Final = 0.985
_EDGE: Final = 64
_FREQUENCIES: Final = 16
_BLOCK: Final = 256
_THREADS: Final = 2
_UNTIL: Final = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-5)
_SMOOTHED_PX: Final = 5


@dataclass(frozen=True)
class Fingerprint:
    """Digest of the decoded pixels, hash uint64 (4,), and the small radiograph uint8 (64, 64)."""

    pixels: str
    hash: NDArray[np.uint64]
    small: NDArray[np.uint8]


@dataclass(frozen=True)
class Duplicate:
    """Two radiographs by their places, the lower place first; ``exact`` if their pixels are equal."""

    first: int
    second: int
    correlation: float
    exact: bool


def fingerprint(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Fingerprint:
    """Compute the fingerprint of a decoded radiograph, shape (rows, columns).

    Raises:
        RefusedRadiograph: All pixels have the same value.

    Source:
        Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010 (DCT hash).
    """
    # With shape and type: the same bytes may be another radiograph.
    digest = hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode() + pixels.tobytes())
    small = cv2.resize(to_tensor(pixels), (_EDGE, _EDGE), interpolation=cv2.INTER_AREA)
    low = np.asarray(cv2.dct(small.astype(np.float32)))[:_FREQUENCIES, :_FREQUENCIES]
    bits = np.packbits(low.ravel() > np.median(low))
    return Fingerprint(digest.hexdigest(), bits.view(np.uint64), small.astype(np.uint8))


def find_duplicates(fingerprints: Sequence[Fingerprint]) -> list[Duplicate]:
    """Find all pairs of radiographs that show the same exposure, in order of their places."""
    pairs = list(_find_candidates(fingerprints))
    with ThreadPoolExecutor(_THREADS) as pool:
        compared = pool.map(lambda pair: _compare(fingerprints, *pair), pairs)
        return sorted(
            (pair for pair in compared if pair.exact or pair.correlation > NEAR_CORRELATION),
            key=lambda pair: (pair.first, pair.second),
        )


def _find_candidates(fingerprints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Find the pairs with close hashes. All pairs are compared, a few hundred rows at a time."""
    hashes = np.array([mark.hash for mark in fingerprints], np.uint64).reshape(-1, 4)
    for start in range(0, len(hashes), _BLOCK):
        rows, others = hashes[start : start + _BLOCK], hashes[start:]
        distance = np.zeros((len(rows), len(others)), np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(rows[:, word, None] ^ others[None, :, word])
        close = np.triu(distance <= NEAR_DISTANCE, 1)
        for first, second in np.argwhere(close):
            yield start + int(first), start + int(second)


def _compare(fingerprints: Sequence[Fingerprint], first: int, second: int) -> Duplicate:
    one, other = fingerprints[first], fingerprints[second]
    if one.pixels == other.pixels:
        return Duplicate(first, second, 1.0, exact=True)
    return Duplicate(first, second, correlation(one.small, other.small), exact=False)


def correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Correlate two small radiographs, both as they are and aligned, and return the higher value.

    Source:
        Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
        maximization", IEEE TPAMI 2008.
    """
    first, second = one.astype(np.float32), other.astype(np.float32)
    unaligned = _pearson(first.ravel(), second.ravel())
    matrix = np.eye(2, 3, dtype=np.float32)
    try:
        cv2.findTransformECC(first, second, matrix, cv2.MOTION_AFFINE, _UNTIL, None, _SMOOTHED_PX)  # type: ignore[call-overload]  # the stubs want a mask
    except cv2.error:  # it does not converge
        return unaligned
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = np.asarray(cv2.warpAffine(second, matrix, one.shape, flags=flags), np.float32)
    shared = (
        cv2.warpAffine(np.ones_like(first), matrix, one.shape, flags=flags) > 0.999
    )  # pixels from outside the radiograph do not count
    if shared.mean() < 0.5:  # a small overlap proves nothing
        return unaligned
    return max(unaligned, _pearson(first[shared], aligned[shared]))


def _pearson(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return float(np.corrcoef(one, other)[0, 1])
