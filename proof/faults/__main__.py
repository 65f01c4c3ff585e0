"""The proof of faults: ``make proof-faults``, or ``python -m proof.faults``."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from proof.faults.claims import (
    bench,
    claim_expired_before_predictor,
    claim_half_failing_predictor,
    claim_lying_predictor,
    claim_one_inference_for_many,
)
from proof.faults.deadlines import deadline_rows, expired_before_store_rows, known_radiographs
from proof.faults.lab import PARTS, FaultLab, fault_lab
from proof.faults.matrix import FAULTS, FaultMatrix, every_answer_has_its_row
from proof.faults.model import flipped_byte_rows, frozen_model_rows, killed_model_rows
from proof.lab.bundles import tiny_bundle
from proof.lab.report import ClaimRow, print_claims


async def _claims(running: FaultLab, folder: Path) -> AsyncIterator[ClaimRow]:
    for row in await deadline_rows(running):
        yield row
    yield await expired_before_store_rows(running)
    for row in await known_radiographs(running):
        yield row
    yield await frozen_model_rows(running)
    yield await killed_model_rows(running)
    async with bench(folder / "bench", running.servers, PLEURA_TIMEOUT_S="30") as held:
        ids = running.fresh
        yield await claim_half_failing_predictor(held, ids, "failed to connect")
        yield await claim_half_failing_predictor(held, ids, "no luck")
        yield await claim_lying_predictor(held, ids[0])
        yield await claim_expired_before_predictor(held, ids[:40])
        yield await claim_one_inference_for_many(held, ids[0])


async def _run(folder: Path, arguments: argparse.Namespace) -> list[ClaimRow]:
    rows: list[ClaimRow] = []

    def add(row: ClaimRow) -> None:
        said = "NO" if row.holds is False else "  "
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {said} {row.claim}: {row.measured}\n")
        rows.append(row)

    bundle = tiny_bundle(folder / "bundle")
    with fault_lab(folder, bundle) as running:
        matrix = FaultMatrix(running, arguments.seconds)
        faults = {name: FAULTS[name] for name in arguments.fault or FAULTS}
        for part in arguments.part if arguments.part is not None else PARTS:
            async for row in matrix.rows(part, faults):
                add(row)
        if not arguments.part:
            async for row in _claims(running, folder):
                add(row)
            if matrix.answers:
                add(every_answer_has_its_row(matrix))
    if not arguments.part:
        for row in flipped_byte_rows(folder, bundle):
            add(row)
    return rows


def main() -> int:
    """Run all of it; the exit status is 0 where every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each fault lasts")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part of the matrix")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this fault")
    parser.add_argument("--claims", dest="part", action="store_const", const=[], help="without the matrix")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(_run(Path(folder), arguments))
    return print_claims("Faults", rows)


if __name__ == "__main__":
    sys.exit(main())
