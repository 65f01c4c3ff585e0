"""Run the fault campaign: ``make proof-faults``, or ``python -m proof.faults``."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from proof.faults.claims import (
    check_expired_before_predictor,
    check_half_failing_predictor,
    check_invalid_answers,
    check_one_inference_for_many,
    run_bench,
)
from proof.faults.deadlines import check_cached_answers, check_deadlines, check_expired_before_store
from proof.faults.lab import PARTS, FaultLab, fault_lab
from proof.faults.matrix import FAULTS, FaultMatrix, check_every_answer_has_a_row
from proof.faults.model import check_flipped_bits, check_frozen_model, check_killed_model
from proof.lab.bundles import make_tiny_bundle
from proof.lab.report import ClaimRow, print_claims


async def _check_claims(lab: FaultLab, folder: Path) -> AsyncIterator[ClaimRow]:
    for row in await check_deadlines(lab):
        yield row
    yield await check_expired_before_store(lab)
    for row in await check_cached_answers(lab):
        yield row
    yield await check_frozen_model(lab)
    yield await check_killed_model(lab)
    async with run_bench(folder / "bench", lab.servers, PLEURA_TIMEOUT_S="30") as bench:
        ids = lab.fresh_ids
        # gRPC's words for a call that was never sent. Only such a call is sent again.
        yield await check_half_failing_predictor(bench, ids, "failed to connect")
        yield await check_half_failing_predictor(bench, ids, "no luck")
        yield await check_invalid_answers(bench, ids[0])
        yield await check_expired_before_predictor(bench, ids[:40])
        yield await check_one_inference_for_many(bench, ids[0])


async def _run(folder: Path, arguments: argparse.Namespace) -> list[ClaimRow]:
    rows: list[ClaimRow] = []

    def add(row: ClaimRow) -> None:
        verdict = "NO" if row.holds is False else "  "
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {verdict} {row.claim}: {row.measured}\n")
        rows.append(row)

    bundle = make_tiny_bundle(folder / "bundle")
    with fault_lab(folder, bundle) as lab:
        matrix = FaultMatrix(lab, arguments.seconds)
        faults = {name: FAULTS[name] for name in arguments.fault or FAULTS}
        for part in arguments.part if arguments.part is not None else PARTS:
            async for row in matrix.run_part(part, faults):
                add(row)
        if not arguments.part:
            async for row in _check_claims(lab, folder):
                add(row)
            if matrix.answers:
                add(check_every_answer_has_a_row(matrix))
    if not arguments.part:
        for row in check_flipped_bits(folder, bundle):
            add(row)
    return rows


def main() -> int:
    """Run the campaign. The exit status is 0 if every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each fault lasts")
    parser.add_argument("--part", action="append", choices=PARTS, help="run only this part of the matrix")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="run only this fault")
    parser.add_argument("--claims", dest="part", action="store_const", const=[], help="skip the matrix")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(_run(Path(folder), arguments))
    return print_claims("Faults", rows)


if __name__ == "__main__":
    sys.exit(main())
