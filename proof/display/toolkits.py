"""Display a DICOM file with DCMTK, after GDCM has decompressed it where DCMTK cannot."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from proof.display.cells import NATIVE
from proof.display.variants import Variant

_TIMEOUT_S: Final = 30.0
DCMTK_PROGRAMS: Final = {
    **dict.fromkeys((*NATIVE, uid.RLELossless), "dcm2pnm"),
    uid.JPEGLosslessSV1: "dcmj2pnm",
    uid.JPEGLSLossless: "dcml2pnm",
}
"""The program of DCMTK that reads a transfer syntax."""
GDCM_PROGRAM: Final = "gdcmconv"
GDCM_SYNTAXES: Final = (uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless)
"""The compressed transfer syntaxes that GDCM decompresses."""


@dataclass(frozen=True)
class ToolkitDisplay:
    """What a toolkit displays; None with the reason if it gives no picture."""

    toolkit: str
    pixels: NDArray[np.uint16] | None
    reason: str = ""


def find_missing_programs() -> list[str]:
    """Find the programs that are not installed."""
    return [name for name in {*DCMTK_PROGRAMS.values(), GDCM_PROGRAM} if shutil.which(name) is None]


def display_with_toolkits(variant: Variant, folder: Path) -> list[ToolkitDisplay]:
    """Display a variant with each toolkit that reads its transfer syntax."""
    file = folder / "variant.dcm"
    file.write_bytes(variant.file)
    displays = []
    if program := DCMTK_PROGRAMS.get(uid.UID(variant.syntax)):
        displays.append(_display("DCMTK", program, file, variant))
    if variant.syntax in GDCM_SYNTAXES:
        raw = folder / "raw.dcm"
        # A file of the variant before must not be taken for this one's.
        raw.unlink(missing_ok=True)
        reason = _run(GDCM_PROGRAM, "--raw", str(file), str(raw))
        if reason or not raw.exists():
            displays.append(ToolkitDisplay("GDCM", None, reason or "no file"))
        else:
            displays.append(_display("GDCM", "dcm2pnm", raw, variant))
    return displays


def _display(toolkit: str, program: str, file: Path, variant: Variant) -> ToolkitDisplay:
    png = file.with_suffix(".png")
    png.unlink(missing_ok=True)
    # -O: without overlays. +on2: a PNG of 16 bits, since 8 would hide small differences.
    reason = _run(program, "-O", *variant.setting.arguments, "+on2", str(file), str(png))
    pixels = cv2.imread(str(png), cv2.IMREAD_UNCHANGED) if png.exists() else None
    if reason or pixels is None or pixels.ndim != 2:
        return ToolkitDisplay(toolkit, None, reason or "no picture")
    return ToolkitDisplay(toolkit, pixels.astype(np.uint16))


def _run(*command: str) -> str:
    """Run a program, and give the first line of its complaint if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[0]
