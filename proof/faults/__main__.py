"""The proof of faults: ``make proof-faults``, or ``python -m proof.faults``."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from proof.faults.claims import all_at_once, bench, expired_before_the_predictor, half_failing, lies
from proof.faults.deadlines import deadlines, expired_before_the_store, known_radiographs
from proof.faults.lab import PARTS, Lab, lab
from proof.faults.matrix import FAULTS, Matrix, every_answer_has_its_row
from proof.faults.model import flipped, frozen, killed
from proof.lab.bundles import tiny_bundle
from proof.lab.report import Row, conclude


async def _claims(running: Lab, folder: Path) -> AsyncIterator[Row]:
    for row in await deadlines(running):
        yield row
    yield await expired_before_the_store(running)
    for row in await known_radiographs(running):
        yield row
    yield await frozen(running)
    yield await killed(running)
    async with bench(folder / "bench", running.servers, PLEURA_TIMEOUT_S="30") as held:
        ids = running.fresh
        yield await half_failing(held, ids, "failed to connect")
        yield await half_failing(held, ids, "no luck")
        yield await lies(held, ids[0])
        yield await expired_before_the_predictor(held, ids[:40])
        yield await all_at_once(held, ids[0])


async def _run(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []

    def add(row: Row) -> None:
        said = "NO" if row.holds is False else "  "
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {said} {row.claim}: {row.measured}\n")
        rows.append(row)

    bundle = tiny_bundle(folder / "bundle")
    with lab(folder, bundle) as running:
        matrix = Matrix(running, arguments.seconds)
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
        for row in flipped(folder, bundle):
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
    return conclude("Faults", rows)


if __name__ == "__main__":
    sys.exit(main())
