"""Read hostile, damaged and honest files with the service's decoder: ``make proof-images``."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from proof.attacks.files.case import HostileFile
from proof.attacks.files.dicom import DICOM
from proof.attacks.files.rasters import RASTERS
from proof.attacks.image_damage import measure_damage
from proof.lab.decoders import (
    MEMORY_MB,
    PROCESSOR_S,
    WALL_S,
    DecodeOutcome,
    MeasuredDecoders,
    measured_decoders,
)
from proof.lab.files import encode_jpeg, encode_png, make_dicom
from proof.lab.pictures import compress_dicom, correlate, make_picture, make_picture_tensor
from proof.lab.report import ClaimRow, print_claims

# The kernel counts processor time in ticks of 10 ms, and the limit is noticed some ticks later.
_TICK_S: Final = 0.05
_SIDES: Final = (2048, 3072, 4096, 5000)
_TWELVE: Final[dict[str, Any]] = {"BitsStored": 12, "HighBit": 11}


def make_noisy_pixels(side: int) -> NDArray[np.uint16]:
    """Make a picture of 12 bits with the noise of a detector, which is hard to compress."""
    smooth = make_picture(side, side).astype(np.int32) * 15
    noise = np.random.default_rng(0).integers(-8, 9, (side, side))
    return np.asarray(np.clip(smooth + noise, 0, 4095), np.uint16)


def list_encodings(side: int) -> Iterator[tuple[str, Callable[[NDArray[np.uint16]], bytes]]]:
    """List the encodings of a radiograph of that size."""
    yield "DICOM, 12 in 16 bits", lambda p: make_dicom(p, **_TWELVE)
    yield (
        "DICOM, MONOCHROME1",
        lambda p: make_dicom(4095 - p, PhotometricInterpretation="MONOCHROME1", **_TWELVE),
    )
    yield "DICOM, deflated", lambda p: make_dicom(p, syntax=uid.DeflatedExplicitVRLittleEndian, **_TWELVE)
    yield "DICOM, JPEG-LS", lambda p: compress_dicom(make_dicom(p, **_TWELVE), uid.JPEGLSLossless)
    yield "DICOM, JPEG 2000", lambda p: compress_dicom(make_dicom(p, **_TWELVE), uid.JPEG2000Lossless)
    if side <= _SIDES[1]:  # pydicom's encoder takes minutes for larger ones
        yield "DICOM, RLE", lambda p: compress_dicom(make_dicom(p, **_TWELVE), uid.RLELossless)
    yield "PNG, 16 bits", encode_png
    yield "JPEG", lambda p: encode_jpeg((p >> 4).astype(np.uint8))
    yield "JPEG, colour", lambda p: encode_jpeg(cv2.cvtColor((p >> 4).astype(np.uint8), cv2.COLOR_GRAY2BGR))


def is_allowed(case: HostileFile, outcome: DecodeOutcome) -> bool:
    """Return whether the case of a file allows this outcome."""
    if outcome.error is not None:
        return isinstance(outcome.error, case.errors)
    if case.picture is None or outcome.tensor is None:
        return False
    return correlate(outcome.tensor, make_picture_tensor(case.picture)) >= case.likeness


def measure_hostile_files(reader: MeasuredDecoders) -> Iterator[ClaimRow]:
    """Read every hostile file, and measure its outcome and its cost."""
    for kind, cases in {"PNG, JPEG and others": RASTERS, "DICOM": DICOM}.items():
        outcomes = {name: reader.read(case.file()) for name, case in cases.items()}
        wrong = [name for name, case in cases.items() if not is_allowed(case, outcomes[name])]
        statuses = Counter(str(o.error.status) if o.error else "answered" for o in outcomes.values())
        costs = [outcome.cost for outcome in outcomes.values()]
        ended = sum(cost.is_ended for cost in costs)
        good = sum(outcome.is_good_next for outcome in outcomes.values())
        most_s = max(cost.processor_s for cost in costs)
        most_wall_s = max(cost.wall_s for cost in costs)
        most_mb = max(cost.peak_mb for cost in costs)
        counts = ", ".join(f"{word} {count}" for word, count in sorted(statuses.items()))
        yield ClaimRow(
            f"{kind}: outcome allowed by the table",
            f"{len(cases)}",
            f"{len(cases) - len(wrong)} ({counts})",
            not wrong,
        )
        yield ClaimRow(f"{kind}: next good file read", f"{len(cases)}", f"{good}", good == len(cases))
        yield ClaimRow(f"{kind}: workers ended by a limit", "counted", f"{ended}", True)
        yield _claim_at_most(f"{kind}: most processor time", PROCESSOR_S, most_s, "s", _TICK_S)
        yield _claim_at_most(f"{kind}: most time by the clock", WALL_S, most_wall_s, "s", _TICK_S)
        yield _claim_at_most(f"{kind}: most memory of the worker", MEMORY_MB, most_mb, "MB")


def _claim_at_most(claim: str, most: float, measured: float, unit: str, tolerance: float = 0.0) -> ClaimRow:
    return ClaimRow(claim, f"<= {most:g} {unit}", f"{measured:.2f} {unit}", measured <= most + tolerance)


def measure_honest_files(reader: MeasuredDecoders, sides: tuple[int, ...]) -> Iterator[ClaimRow]:
    """Read honest radiographs of each size and encoding."""
    for side in sides:
        pixels = make_noisy_pixels(side)
        for name, write in list_encodings(side):
            file = write(pixels)
            outcome = reader.read(file)
            cost = f"{outcome.cost.processor_s:.2f} s, {outcome.cost.peak_mb:.0f} MB"
            cost += ", ended" if outcome.cost.is_ended else ""
            is_read = (
                outcome.tensor is not None and correlate(outcome.tensor, make_picture_tensor(pixels)) > 0.98
            )
            yield ClaimRow(f"{side} x {side}, {name}, {len(file) / 2**20:.1f} MB", "answered", cost, is_read)


def main() -> int:
    """Print the table. The exit status is 0 if every claim holds."""
    parser = argparse.ArgumentParser(prog="proof.attacks.images", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=_SIDES)
    arguments = parser.parse_args()
    with measured_decoders() as reader:
        rows = [
            *measure_hostile_files(reader),
            *measure_damage(reader),
            *measure_honest_files(reader, tuple(arguments.sides)),
        ]
    return print_claims("Hostile files, damaged ones, and honest large ones", rows)


if __name__ == "__main__":
    sys.exit(main())
